//! [`Archive`]: a strict reader of tar streams.
//!
//! It knows plain files, directories and links, in the ustar, pax and GNU forms that Go's `archive/tar` writes. Whatever
//! else stands in the stream ends it with an error: what two readers could understand differently is not taken.

use std::io::Read;

use crate::error::Result;
use crate::solve::unpack::entry_path::shown;
use crate::solve::unpack::pax::Extensions;
use crate::solve::unpack::{Limits, broken, refused};

const BLOCK: usize = 512;

/// One entry, as it stands in the archive: nothing of it is checked against the file system.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// All permission bits, setuid and its kin included.
    pub(super) mode: u32,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A file of that many bytes, which [`Archive::content`] gives.
    File(u64),
    Directory,
    Symlink(Vec<u8>),
    /// Another name of a file earlier in the archive.
    HardLink(Vec<u8>),
}

/// A tar stream.
pub(super) struct Archive<R> {
    reader: R,
    /// Content of the current entry that was not read yet, and the padding behind it.
    unread: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, unread: 0, padding: 0 }
    }

    /// The next entry; `None` at the archive's end, once the stream is read to its own end.
    ///
    /// # Errors
    /// For a stream that breaks off, and for entries that are not taken.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        self.skip(self.unread + self.padding)?;
        (self.unread, self.padding) = (0, 0);
        let mut extensions = Extensions::default();
        for _ in 0..=Limits::EXTENSIONS {
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                return self.finish().map(|()| None);
            }
            let header = tar::Header::from_byte_slice(&block);
            check_sum(header)?;
            match header.entry_type().as_byte() {
                b'x' => extensions.read_pax(&self.extension(header)?)?,
                b'L' => extensions.path = Some(self.long_name(header)?),
                b'K' => extensions.link = Some(self.long_name(header)?),
                _ => return self.member(header, extensions).map(Some),
            }
        }
        Err(refused("the result holds too many extended headers in a row"))
    }

    /// The content of the file that [`Archive::next`] gave last.
    pub(super) fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    fn member(&mut self, header: &tar::Header, extensions: Extensions) -> Result<Member> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions.link.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let field = |value: std::io::Result<u64>, name: &str| {
            value.map_err(|_| refused(format!("the result holds `{}` with a {name} that is no number", shown(&path))))
        };
        let size = match extensions.size {
            Some(size) => size,
            None => field(header.entry_size(), "size")?,
        };
        let mtime = match extensions.mtime {
            Some(time) => time,
            None => (i64::try_from(field(header.mtime(), "time")?).unwrap_or(0), 0),
        };
        let mode = header.mode().map_err(|_| refused(format!("the result holds `{}` without a mode", shown(&path))))?;
        let kind = match (header.entry_type().as_byte(), link) {
            (b'0' | b'\0' | b'7', _) if !path.ends_with(b"/") => Kind::File(size),
            (b'5', _) => Kind::Directory,
            (b'2', Some(target)) => Kind::Symlink(target),
            (b'1', Some(target)) => Kind::HardLink(target),
            (other, _) => {
                return Err(refused(format!("the result holds `{}`, which is {}", shown(&path), kind_name(other)))
                    .hint("write `type=tar,dest=FILE` to get the result as a file, as it is"));
            }
        };
        match &kind {
            Kind::File(size) => {
                self.unread = *size;
                self.padding = padding(*size);
            }
            _ if size != 0 => {
                return Err(refused(format!("the result holds `{}`, which is no file but has content", shown(&path))));
            }
            _ => {}
        }
        Ok(Member { path, kind, mode, mtime })
    }

    /// The whole content of an extended header.
    fn extension(&mut self, header: &tar::Header) -> Result<Vec<u8>> {
        let size = header.entry_size().ok().filter(|size| *size <= Limits::EXTENSION_BYTES);
        let Some(size) = size else { return Err(refused("the result holds an extended header that is too long")) };
        let mut data = Vec::new();
        (&mut self.reader).take(size).read_to_end(&mut data).map_err(|error| broken("broke off").because(error))?;
        if data.len() as u64 != size {
            return Err(broken("ended within an extended header"));
        }
        self.skip(padding(size))?;
        Ok(data)
    }

    /// GNU: the name itself, with a NUL behind it.
    fn long_name(&mut self, header: &tar::Header) -> Result<Vec<u8>> {
        let mut name = self.extension(header)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.reader.read_exact(&mut block).map_err(|error| broken("ended before the archive did").because(error))?;
        Ok(block)
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = std::io::copy(&mut (&mut self.reader).take(count), &mut std::io::sink())
            .map_err(|error| broken("broke off").because(error))?;
        if skipped == count { Ok(()) } else { Err(broken("ended within a file")) }
    }

    /// Reads what follows the end, so that the writer can end too.
    fn finish(&mut self) -> Result<()> {
        let rest = std::io::copy(&mut (&mut self.reader).take(Limits::TRAILER_BYTES + 1), &mut std::io::sink())
            .map_err(|error| broken("broke off").because(error))?;
        if rest > Limits::TRAILER_BYTES {
            return Err(refused("the result goes on behind the end of its archive"));
        }
        Ok(())
    }
}

/// Reads one file's content; a stream that ends early is an error, not an end.
pub(super) struct Content<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let limit = usize::try_from(self.0.unread).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..limit).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let count = self.0.reader.read(buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.0.unread = self.0.unread.saturating_sub(count as u64);
        Ok(count)
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// The header's checksum: the sum of its bytes, with the field itself read as spaces.
fn check_sum(header: &tar::Header) -> Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(index, byte)| if (148..156).contains(&index) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    match header.cksum() {
        Ok(stated) if stated == sum => Ok(()),
        // All of the block arrived, so no connection broke: another runner would answer the same.
        _ => Err(refused("the runner's answer is not a valid tar archive: a header's checksum is wrong")),
    }
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'0' | b'\0' | b'7' => "a file whose name ends with `/`",
        b'1' | b'2' => "a link without a target",
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a FIFO",
        b'S' => "a sparse file",
        b'g' => "a global header",
        _ => "of an unknown kind",
    }
}
