//! As much of HTTP as the connectors need: one call a connection. A real connector would use a client library.
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long connecting, or a read or write, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest line of an answer's head.
const HEAD_LINE_BYTES_MAX: u64 = 16 << 10;

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `HOST:PORT`.
    authority: String,
    path: String,
}

impl Url {
    /// Reads `http://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// What is wrong with it, with a remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.trim().strip_prefix("http://") else {
            return Err("give http://HOST:PORT/PATH; https is not for this example".to_owned());
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let authority = match authority.rsplit_once(':') {
            None => format!("{authority}:80"),
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some((_, port)) => return Err(format!("{port:?} is no port; give http://HOST:PORT/PATH")),
        };
        if authority.starts_with(':') || path.contains(char::is_whitespace) {
            return Err("give http://HOST:PORT/PATH, without blanks".to_owned());
        }
        let path = path.to_owned();
        Ok(Self { authority, path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Makes a call; of the answer's body at most `most` bytes are read.
///
/// # Errors
/// When the server cannot be reached, or says something else than HTTP.
pub fn call(
    method: &str,
    url: &Url,
    headers: &[(&str, String)],
    body: &[u8],
    most: usize,
) -> io::Result<Answer> {
    let no_address = || io::Error::other(format!("{} has no address", url.authority));
    let address = url.authority.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the body ends with the connection, and comes in one piece.
    let mut head = format!("{method} {} HTTP/1.0\r\nHost: {}\r\n", url.path, url.authority);
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = BufReader::new(stream);
    let status = head_line(&mut answer)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("the server does not speak HTTP"))?;
    let mut length = None;
    loop {
        let line = head_line(&mut answer)?;
        match line.split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<usize>().ok();
            }
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    let most = length.unwrap_or(most).min(most);
    answer.take(most as u64).read_to_end(&mut body)?;
    if length.is_some_and(|length| body.len() < length.min(most)) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer { status, body })
}

fn head_line(answer: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    answer.take(HEAD_LINE_BYTES_MAX).read_line(&mut line)?;
    match line.ends_with('\n') {
        true => Ok(line.trim_end().to_owned()),
        false => Err(io::Error::other("the server's answer breaks off in its head")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_a_remedy() {
        let url = Url::parse(" http://logs.example/app.log ").unwrap();
        assert_eq!((&*url.authority, &*url.path), ("logs.example:80", "/app.log"));
        assert_eq!(Url::parse("http://[::1]:8080").unwrap().authority, "[::1]:8080");
        for wrong in [
            "",
            "logs.example",
            "https://logs.example",
            "http://a:b/",
            "http://:80/",
            "http://a/b c",
        ] {
            let error = Url::parse(wrong).unwrap_err();
            assert!(error.contains("http://HOST:PORT/PATH"), "{wrong}: {error}");
        }
    }
}
