#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use std::io::Cursor;

fn frame(content: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    compressor.compress(content).unwrap()
}

/// Three frames of one line each.
fn contents() -> Vec<Vec<u8>> {
    (0..3).map(|number| format!("{{\"n\":{number},\"text\":\"{}\"}}\n", "word ".repeat(20 + number)).into()).collect()
}

fn with_table(contents: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let frames: Vec<Vec<u8>> = contents.iter().map(|content| frame(content)).collect();
    let sizes: Vec<(u32, u32)> =
        frames.iter().zip(contents).map(|(frame, content)| (frame.len() as u32, content.len() as u32)).collect();
    (frames.concat(), seek_table(&sizes))
}

fn steps(bytes: &[u8]) -> Vec<Step> {
    let mut frames = Frames::new(bytes).unwrap();
    let mut steps = Vec::new();
    while let Some(step) = frames.step().unwrap() {
        steps.push(step);
    }
    steps
}

fn content(bytes: &[u8]) -> Vec<u8> {
    let content = |step| if let Step::Content(content) = step { content } else { Vec::new() };
    steps(bytes).into_iter().flat_map(content).collect()
}

fn decoded(bytes: &[u8], index: &FrameIndex) -> Vec<Vec<u8>> {
    index.frames.iter().map(|frame| decode_frame(&mut Cursor::new(bytes), frame).unwrap()).collect()
}

#[test]
fn a_table_says_where_every_frame_is_and_any_decompressor_skips_it() {
    let contents = contents();
    let (frames, table) = with_table(&contents);
    let file = [frames.clone(), table].concat();
    let index = FrameIndex::read(&mut Cursor::new(&file)).unwrap();
    assert_eq!((index.is_rebuilt, index.end, index.frames.len()), (false, frames.len() as u64, 3));
    assert_eq!(decoded(&file, &index), contents);
    assert_eq!(index.decompressed_len(), contents.concat().len() as u64);
    let second = contents[0].len() as u64;
    assert_eq!(
        [0, second - 1, second, index.decompressed_len()].map(|offset| index.position(offset)),
        [Some(0), Some(0), Some(1), None]
    );
    assert_eq!(zstd::stream::decode_all(file.as_slice()).unwrap(), contents.concat());
    assert_eq!(content(&file), contents.concat());
}

#[test]
fn without_a_table_or_with_anothers_the_frames_are_found() {
    let contents = contents();
    let (frames, table) = with_table(&contents);
    let mut rebuilt = FrameIndex::read(&mut Cursor::new(&frames)).unwrap();
    assert!(std::mem::replace(&mut rebuilt.is_rebuilt, false));
    assert_eq!(rebuilt, FrameIndex::read(&mut Cursor::new([frames.clone(), table.clone()].concat())).unwrap());

    let twice = [frames.clone(), table, frames].concat();
    let index = FrameIndex::read(&mut Cursor::new(&twice)).unwrap();
    assert_eq!(decoded(&twice, &index).concat(), [contents.concat(), contents.concat()].concat());
    // Gone on with, its table lists what stands between the frames as well.
    let whole = [twice.clone(), seek_table(&table_entries(&index).unwrap())].concat();
    let read = FrameIndex::read(&mut Cursor::new(&whole)).unwrap();
    assert_eq!((read.is_rebuilt, &read.frames), (false, &index.frames));
}

#[test]
fn frames_of_streams_that_do_not_tell_their_size_are_measured() {
    let file = zstd::stream::encode_all(&b"some text"[..], 1).unwrap();
    let index = FrameIndex::read(&mut Cursor::new(&file)).unwrap();
    assert_eq!(decoded(&file, &index), [b"some text"]);
}

#[test]
fn a_file_cut_at_any_byte_has_every_frame_before_the_cut() {
    let contents = contents();
    let (frames, table) = with_table(&contents);
    let file = [frames.clone(), table].concat();
    let ends: Vec<usize> = FrameIndex::read(&mut Cursor::new(&file))
        .unwrap()
        .frames
        .iter()
        .map(|frame| (frame.compressed_offset + frame.compressed_len) as usize)
        .collect();
    for cut in 0..file.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let expected = contents[..whole].concat();
        let index = FrameIndex::read(&mut Cursor::new(&file[..cut])).unwrap();
        assert_eq!((index.frames.len(), index.damaged.len()), (whole, 0), "cut at {cut}");
        let read = steps(&file[..cut]);
        assert!(content(&file[..cut]).starts_with(&expected), "cut at {cut}");
        // A cut between frames, or in the table, leaves nothing out.
        let is_clean = cut == 0 || ends.contains(&cut) || cut > frames.len() + 3;
        assert_eq!(matches!(read.last(), Some(Step::BrokenOff { .. })), !is_clean, "cut at {cut}: {read:?}");
    }
}

#[test]
fn a_byte_changed_anywhere_costs_its_frame_only() {
    let contents = contents();
    let (frames, table) = with_table(&contents);
    let file = [frames.clone(), table].concat();
    let first = frame(&contents[0]).len();
    let second = first + frame(&contents[1]).len();
    for at in first..second {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] ^= flip;
            let read = content(&damaged);
            // A changed bit that means nothing leaves the frame as good as it was; its checksum says so.
            let expected = [&contents[0], &contents[2]].map(Vec::as_slice).concat();
            assert!(read == expected || read == contents.concat(), "byte {at}: {}", String::from_utf8_lossy(&read));
            if read == expected {
                let left_out = steps(&damaged).into_iter().find_map(|step| match step {
                    Step::LeftOut { from, to, .. } => Some((from, to)),
                    _ => None,
                });
                assert_eq!(left_out, Some((first as u64, second as u64)), "byte {at}");
            }
            damaged.truncate(frames.len());
            let index = FrameIndex::read(&mut Cursor::new(&damaged)).unwrap();
            assert!(
                index.frames.iter().any(|frame| frame.compressed_offset == second as u64),
                "byte {at}, flip {flip}: {index:?}, {first}, {second}, {}",
                damaged.len()
            );
        }
    }
}

#[test]
fn what_stands_before_between_and_after_frames_is_passed_over() {
    let contents = contents();
    let frames: Vec<Vec<u8>> = contents.iter().map(|content| frame(content)).collect();
    let junk = [&b"junk"[..], &FRAME_MAGIC, b"more junk", &[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f]].concat();
    let file = [&junk, &frames[0], &junk, &frames[1], &frames[2], &junk].map(Vec::as_slice).concat();
    assert_eq!(content(&file), contents.concat());
    let index = FrameIndex::read(&mut Cursor::new(&file)).unwrap();
    assert_eq!(decoded(&file, &index), contents);
    let damage = |offset: usize| Damage { offset: offset as u64, len: junk.len() as u64 };
    assert_eq!(index.damaged, [damage(0), damage(junk.len() + frames[0].len())]);
}

#[test]
fn a_frame_that_says_it_is_huge_is_not_believed() {
    let lie = Frame { compressed_offset: 0, compressed_len: 9, decompressed_offset: 0, decompressed_len: u64::MAX };
    assert!(matches!(decode_frame(&mut Cursor::new([0; 9]), &lie), Err(FrameError::TooLarge(0))));
    let table = seek_table(&[(u32::MAX, u32::MAX); 3]);
    let index = FrameIndex::read(&mut Cursor::new(&table)).unwrap();
    assert_eq!((index.frames.len(), index.is_rebuilt), (0, true));
    let mut count = table.clone();
    let at = table.len() - 9;
    count[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(FrameIndex::read(&mut Cursor::new(&count)).unwrap().frames, []);
}

#[test]
fn a_large_frame_from_elsewhere_is_read_in_pieces() {
    let mut text = Vec::new();
    for number in 0..3_000_000_u32 {
        text.extend_from_slice(format!("line {number} of a long file\n").as_bytes());
    }
    let file = [frame(b"first\n"), frame(&text), frame(b"last\n")].concat();
    let mut frames = Frames::new(file.as_slice()).unwrap();
    let (mut pieces, mut bytes, mut hash) = (0, 0, 0_u64);
    let mut add = |content: &[u8]| {
        bytes += content.len();
        for byte in content {
            hash = hash.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        hash
    };
    while let Some(step) = frames.step().unwrap() {
        let Step::Content(content) = step else { panic!("{step:?}") };
        assert!(content.len() < 40 * 1024 * 1024);
        pieces += 1;
        add(&content);
    }
    let read = add(b"");
    let mut expected = 0_u64;
    for byte in [b"first\n", text.as_slice(), b"last\n"].concat() {
        expected = expected.wrapping_mul(31).wrapping_add(u64::from(byte));
    }
    assert_eq!((read, pieces > 3), (expected, true));
}
