//! What the first bytes alone tell.

use crate::formats::Source;

/// A format that its first bytes name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// ELF, PE, Mach-O, WebAssembly, LLVM bitcode.
    Native,
    /// HDF5, what Keras writes as `.h5`.
    Hdf5,
    /// Something that packs other files or bytes.
    Archive,
    /// A plan of `TensorRT`.
    TensorRt,
    /// A script with an interpreter line.
    Script,
}

/// What the first bytes tell, if they tell one of these.
///
/// # Errors
/// The bytes can't be read.
pub fn magic(source: Source<'_>) -> std::io::Result<Option<Magic>> {
    const TABLE: &[(&[u8], Magic)] = &[
        (b"\x7fELF", Magic::Native),
        (b"\xfe\xed\xfa\xce", Magic::Native),
        (b"\xfe\xed\xfa\xcf", Magic::Native),
        (b"\xce\xfa\xed\xfe", Magic::Native),
        (b"\xcf\xfa\xed\xfe", Magic::Native),
        (b"\xca\xfe\xba\xbe", Magic::Native),
        (b"\0asm", Magic::Native),
        (b"BC\xc0\xde", Magic::Native),
        (b"!<arch>\n", Magic::Native),
        (b"\x1f\x8b", Magic::Archive),
        (b"BZh", Magic::Archive),
        (b"\xfd7zXZ\0", Magic::Archive),
        (b"7z\xbc\xaf\x27\x1c", Magic::Archive),
        (b"\x28\xb5\x2f\xfd", Magic::Archive),
        (b"\x04\x22\x4d\x18", Magic::Archive),
        (b"Rar!\x1a\x07", Magic::Archive),
        (b"MSCF\0\0\0\0", Magic::Archive),
        (b"ftrt", Magic::TensorRt),
        (b"ptrt", Magic::TensorRt),
        (b"#!", Magic::Script),
        (b"\xef\xbb\xbf#!", Magic::Script),
    ];
    let head = source.read(0, 512)?;
    if let Some((_, magic)) = TABLE.iter().find(|(prefix, _)| head.starts_with(prefix)) {
        return Ok(Some(*magic));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Ok(Some(Magic::Archive));
    }
    if head.starts_with(b"MZ") && is_portable_executable(source, &head)? {
        return Ok(Some(Magic::Native));
    }
    // An HDF5 superblock lies at 0, 512, 1024, 2048 and so on.
    for offset in [0, 512, 1_024, 2_048, 4_096, 8_192] {
        if source.read(offset, 8)? == b"\x89HDF\r\n\x1a\n" {
            return Ok(Some(Magic::Hdf5));
        }
    }
    Ok(None)
}

fn is_portable_executable(source: Source<'_>, head: &[u8]) -> std::io::Result<bool> {
    let Some(at) = head.get(60..64).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) else { return Ok(false) };
    // A program for DOS alone has no second header; its first byte pair and a short body are all there is to go by.
    let second = source.read(u64::from(u32::from_le_bytes(at)), 4)?;
    Ok(second == b"PE\0\0" || head.contains(&0))
}
