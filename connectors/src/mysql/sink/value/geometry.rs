//! Geometries: well-known binary, as columns store it.
//!
//! A column takes its own format, which is a number of 32 bits for the system of coordinates and then well-known binary with the lowest byte first. Functions
//! such as `ST_GeomFromWKB` would swap the axes of some systems.
use super::literal::mismatch;
use super::{Cell, Unfit, text};

/// How deep collections may be.
const DEPTH_MAX: usize = 32;

/// In PostGIS' extension: the system of coordinates stands behind the type.
const HAS_SRID: u32 = 0x2000_0000;

/// A value of a column of geometries.
pub(super) fn write(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let Cell::Geometry { wkb, srid } = cell else {
        return Err(mismatch(cell));
    };
    let mut stored = Vec::with_capacity(wkb.len() + 4);
    stored.extend_from_slice(&srid.to_le_bytes());
    let mut reader = Reader {
        rest: wkb,
        little: true,
    };
    let whole = reader.geometry(&mut stored, 0);
    if whole.is_none() || !reader.rest.is_empty() {
        return Err(Unfit::new("it is no well-known binary of two dimensions"));
    }
    text::push_bytes(out, &stored);
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
    little: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take::<4>()?;
        Some(match self.little {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        })
    }

    fn count(&mut self, out: &mut Vec<u8>) -> Option<u32> {
        let count = self.number()?;
        out.extend_from_slice(&count.to_le_bytes());
        Some(count)
    }

    fn points(&mut self, count: u32, out: &mut Vec<u8>) -> Option<()> {
        for _ in 0..u64::from(count) * 2 {
            let mut bytes = self.take::<8>()?;
            if !self.little {
                bytes.reverse();
            }
            out.extend_from_slice(&bytes);
        }
        Some(())
    }

    fn geometry(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.little = match self.take::<1>()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let mut kind = self.number()?;
        if kind & HAS_SRID != 0 {
            kind &= !HAS_SRID;
            self.number()?;
        }
        out.push(1);
        out.extend_from_slice(&kind.to_le_bytes());
        match kind {
            1 => self.points(1, out),
            2 => {
                let count = self.count(out)?;
                self.points(count, out)
            }
            3 => {
                for _ in 0..self.count(out)? {
                    let count = self.count(out)?;
                    self.points(count, out)?;
                }
                Some(())
            }
            4..=7 => {
                for _ in 0..self.count(out)? {
                    self.geometry(out, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(wkb: &[u8], srid: u32) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write(&Cell::Geometry { wkb, srid }, &mut out).ok().map(|()| out)
    }

    #[test]
    fn either_order_of_bytes_becomes_the_stored_one() {
        let point = |little: bool| {
            let mut wkb = vec![u8::from(little)];
            let kind = if little {
                1_u32.to_le_bytes()
            } else {
                1_u32.to_be_bytes()
            };
            wkb.extend(kind);
            for number in [1.5_f64, -2.0] {
                wkb.extend(if little {
                    number.to_le_bytes()
                } else {
                    number.to_be_bytes()
                });
            }
            wkb
        };
        let stored = written(&point(true), 4326).unwrap();
        assert_eq!(written(&point(false), 4326).unwrap(), stored);
        assert!(stored.starts_with(b"_binary'\xe6\x10\0\0\x01\x01\0\0\0"));
        let mut collection = vec![1, 7, 0, 0, 0, 2, 0, 0, 0];
        collection.extend(point(false));
        collection.extend(point(true));
        assert!(written(&collection, 0).is_some());
        collection.push(0);
        assert_eq!(written(&collection, 0), None, "more than a geometry");
        assert_eq!(written(&point(true)[..20], 0), None, "less than a point");
        assert_eq!(written(&[1, 1, 0, 0, 128], 0), None, "a third dimension");
        assert_eq!(written(&[1, 2, 0, 0, 0, 255, 255, 255, 255], 0), None);
    }
}
