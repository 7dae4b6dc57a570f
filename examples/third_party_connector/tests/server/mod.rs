//! An HTTP server for tests: serves a text in ranges, and keeps what is posted.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running server; it ends with the process.
pub struct Server {
    pub address: SocketAddr,
    text: Arc<Mutex<Vec<u8>>>,
    posted: Arc<Mutex<String>>,
}

impl Server {
    /// Serves `text` at any path.
    pub fn start(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = Arc::new(Mutex::new(text.as_bytes().to_vec()));
        let posted = Arc::<Mutex<String>>::default();
        let (its, kept) = (Arc::clone(&text), Arc::clone(&posted));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Who goes away in the middle of a call is not answered.
                let _ = answer(stream.unwrap(), &its, &kept);
            }
        });
        Self {
            address,
            text,
            posted,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    #[allow(dead_code, reason = "not every test lets the text grow")]
    pub fn append(&self, more: &str) {
        self.text.lock().unwrap().extend_from_slice(more.as_bytes());
    }

    /// All that was posted so far.
    pub fn posted(&self) -> String {
        self.posted.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, text: &Mutex<Vec<u8>>, posted: &Mutex<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let value = |name: &str| {
        let mut named = head.iter().filter_map(|line| line.split_once(": "));
        named
            .find(|(its, _)| *its == name)
            .map(|(_, value)| value.to_owned())
    };
    let (status, body) = if head[0].starts_with("POST") {
        let mut body = vec![0; value("Content-Length").unwrap().parse().unwrap()];
        reader.read_exact(&mut body)?;
        posted.lock().unwrap().push_str(&String::from_utf8(body).unwrap());
        ("204 No Content", Vec::new())
    } else {
        let range = value("Range").unwrap();
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let text = text.lock().unwrap();
        match text.get(from..text.len().min(to + 1)) {
            Some(part) if !part.is_empty() => ("206 Partial Content", part.to_vec()),
            _ => ("416 Range Not Satisfiable", Vec::new()),
        }
    };
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
