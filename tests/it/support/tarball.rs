//! Writes tar archives that no honest program writes.

/// An archive under construction. Nothing is checked.
#[derive(Default, Clone)]
pub struct Tarball(Vec<u8>);

impl Tarball {
    /// A header with any kind, name, link and size, and a right checksum; then `content`, padded.
    pub fn raw(mut self, kind: u8, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        self.header(kind, name, link, mode, content.len() as u64);
        self.content(content);
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(b'0', name.as_bytes(), b"", 0o644, content)
    }

    pub fn directory(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", 0o755, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(b'2', name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(b'1', name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    /// A header that promises `size` bytes, without them.
    pub fn promise(mut self, name: &str, size: u64) -> Self {
        self.header(b'0', name.as_bytes(), b"", 0o644, size);
        self
    }

    /// An extended header with one pax record.
    pub fn pax(self, key: &str, value: &[u8]) -> Self {
        let mut length = key.len() + value.len() + 3;
        while length != key.len() + value.len() + 3 + length.to_string().len() {
            length = key.len() + value.len() + 3 + length.to_string().len();
        }
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        self.raw(b'x', b"pax", b"", 0o644, &record)
    }

    /// Bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    /// The archive without its end.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }

    fn header(&mut self, kind: u8, name: &[u8], link: &[u8], mode: u32, size: u64) {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_600_000_000);
        header.set_entry_type(tar::EntryType::new(kind));
        let old = header.as_old_mut();
        for (field, value) in [(&mut old.name, name), (&mut old.linkname, link)] {
            assert!(value.len() <= field.len(), "use `pax` for long names");
            field[..value.len()].copy_from_slice(value);
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn content(&mut self, content: &[u8]) {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}
