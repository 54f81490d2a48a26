//! Bytes for tests: small files that are what they say, and some that are not.

/// Bytes that look random and depend on the seed alone (xorshift).
pub fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A valid safetensors file with one tensor of `count` float32 values made from the seed.
pub fn safetensors(seed: u64, count: usize) -> Vec<u8> {
    let data = random(seed, count * 4);
    let header = format!(r#"{{"weight":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{}]}}}}"#, data.len());
    let padded = format!("{header:<width$}", width = header.len().div_ceil(8) * 8);
    let mut file = (padded.len() as u64).to_le_bytes().to_vec();
    file.extend(padded.into_bytes());
    file.extend(data);
    file
}

/// A pickle that would run a command when it is loaded (protocol 2: `os.system("true")`).
pub fn pickle() -> Vec<u8> {
    b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.".to_vec()
}

/// A zip as torch writes it: `archive/data.pkl`, stored, with its central directory.
pub fn torch_zip() -> Vec<u8> {
    zip("archive/data.pkl", &pickle())
}

/// A GGUF file of version 3 without tensors and keys.
pub fn gguf() -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file
}

/// A zip of one stored file.
pub fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).expect("a small file").to_le_bytes();
    let name_length = u16::try_from(name.len()).expect("a short name").to_le_bytes();
    let check = crc32(content).to_le_bytes();
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    common.extend(check);
    common.extend(size);
    common.extend(size);
    common.extend(name_length);
    common.extend([0, 0]);
    let mut file = b"PK\x03\x04".to_vec();
    file.extend(&common);
    file.extend(name.as_bytes());
    file.extend(content);
    let start = u32::try_from(file.len()).expect("a small file");
    file.extend(b"PK\x01\x02\x14\x00");
    file.extend(&common);
    // Comment length, disk, attributes and the offset of the local header: all zero.
    file.extend([0; 14]);
    file.extend(name.as_bytes());
    let directory = u32::try_from(file.len()).expect("a small file") - start;
    file.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    file.extend(directory.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
