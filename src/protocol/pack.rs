//! Messages, compressed: one stream over all of them, so that what every request says is said once.

use super::MAX_TOLD_BYTES;
use std::io::{self, Write};
use zstd::stream::write::{Decoder, Encoder};
use zstd::zstd_safe::{CParameter, DParameter};

/// Events shrink to a tenth; a level more buys little and costs the machine that is being watched.
const LEVEL: i32 = 3;
/// How far back the stream may refer: memory for either side, for as long as a viewer is attached.
const WINDOW_LOG: u32 = 20;

/// Why a message cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is damaged, or comes to more than is taken.
    #[error("a compressed message is damaged: {0}")]
    Damaged(#[from] io::Error),
}

/// Compresses messages.
pub struct Packer(Encoder<'static, Vec<u8>>);

impl Packer {
    /// A stream that begins.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new() -> Result<Self, PackError> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self(encoder))
    }

    /// Compresses one message. They must be taken apart in this order.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn pack(&mut self, message: &[u8]) -> Result<Vec<u8>, PackError> {
        self.0.write_all(message)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}

/// Takes messages apart.
pub struct Unpacker(Decoder<'static, Bounded>);

impl Unpacker {
    /// A stream that begins.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new() -> Result<Self, PackError> {
        let mut decoder = Decoder::new(Bounded(Vec::new()))?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    /// Takes one message apart. After an error the stream is of no use.
    ///
    /// # Errors
    /// See [`PackError`].
    pub fn unpack(&mut self, message: &[u8]) -> Result<Vec<u8>, PackError> {
        self.0.write_all(message)?;
        self.0.flush()?;
        Ok(std::mem::take(&mut self.0.get_mut().0))
    }
}

/// Takes no more than a message may come to: a few bytes can stand for gigabytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_TOLD_BYTES {
            return Err(io::Error::other(format!("it comes to more than {MAX_TOLD_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_each_by_itself_and_the_second_like_it_costs_little() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let message: Vec<u8> =
            (0..2_000_u32).flat_map(|number| format!("{:x},", number * 7_919).into_bytes()).collect();
        let (first, empty, second) = (packer.pack(&message), packer.pack(b""), packer.pack(&message));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(second.len() * 20 < first.len(), "{} after {}", second.len(), first.len());
        assert_eq!(unpacker.unpack(&first).unwrap(), message);
        assert_eq!(unpacker.unpack(&empty.unwrap()).unwrap(), b"");
        assert_eq!(unpacker.unpack(&second).unwrap(), message);
    }

    #[test]
    fn a_message_that_stands_for_too_much_is_refused() {
        let mut packer = Packer::new().unwrap();
        let bomb = packer.pack(&vec![b' '; MAX_TOLD_BYTES + 1]).unwrap();
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let error = Unpacker::new().unwrap().unpack(&bomb).unwrap_err();
        assert!(error.to_string().contains("comes to more than"), "{error}");
    }

    #[test]
    fn what_was_never_packed_is_refused() {
        assert!(Unpacker::new().unwrap().unpack(b"{\"feed\":\"hello\"}").is_err());
    }
}
