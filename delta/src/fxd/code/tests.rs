use super::*;

/// A sequence that repeats nothing for long, and is the same each time.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

/// Streams of several kinds: none, one byte, noise, words that come again, parts of noise, all of one byte.
fn streams() -> Vec<Vec<u8>> {
    let mut next = numbers(7);
    let noise: Vec<u8> = (0..500).map(|_| next() as u8).collect();
    let words: Vec<u8> = (0..150).flat_map(|_| (next() as u32 & 0x3f).to_le_bytes()).collect();
    let mut text = Vec::new();
    while text.len() < 3000 {
        let from = next() as usize % 400;
        text.extend_from_slice(&noise[from..from + next() as usize % 40]);
    }
    vec![vec![], vec![0], vec![255; 3], noise, words, text, vec![0; 2000]]
}

fn unlimited(kind: Stream, bytes: &[u8]) -> Vec<u8> {
    encode(&[(kind, bytes.to_vec())], &alone(bytes, &whole(bytes)), 3, u64::MAX, |_| Ok(())).unwrap().remove(0)
}

fn whole(bytes: &[u8]) -> [(u32, u32); 1] {
    [(0, bytes.len() as u32)]
}

/// New bytes that are all of their file.
fn alone<'a>(bytes: &'a [u8], whole: &'a [(u32, u32)]) -> Known<'a> {
    Known { file: bytes, parts: whole, old: &[] }
}

fn mixed(kind: Stream, bytes: &[u8]) -> Vec<u8> {
    mixed::encode(kind, bytes, &alone(bytes, &whole(bytes)), usize::MAX).unwrap()
}

/// By every method, whether it pays or not.
fn by_each(kind: Stream, bytes: &[u8]) -> [Vec<u8>; 3] {
    let tagged = |method: Method, mut coded: Vec<u8>| {
        coded.insert(0, method as u8);
        coded
    };
    [
        tagged(Method::Stored, bytes.to_vec()),
        tagged(Method::Frame, frame::encode(bytes, 3).unwrap()),
        tagged(Method::Mixed, mixed(kind, bytes)),
    ]
}

fn decode(kind: Stream, coded: &[u8], length: usize, piece: usize) -> Result<Vec<u8>, ApplyError> {
    let mut decoder = Decoder::new(kind, coded, length as u64, &Limits::default())?;
    let mut out = vec![0; length];
    for from in (0..length).step_by(piece) {
        let part = from..length.min(from + piece);
        if kind.is_new() { decoder.fill(&mut out, part)? } else { decoder.read(&mut out[part])? }
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn what_is_written_is_read_whatever_the_pieces() {
    for (kind, piece) in Stream::ALL.into_iter().zip([1, 7, 100, 4096, 1 << 20, 1, 7, 100]) {
        for bytes in streams() {
            for coded in by_each(kind, &bytes) {
                assert!(decode(kind, &coded, bytes.len(), piece).unwrap() == bytes, "{kind:?}, pieces of {piece}");
            }
        }
    }
}

#[test]
fn the_shortest_method_is_taken_and_the_slow_one_as_long_as_there_is_time() {
    let text = streams().remove(4);
    let length = text.len() as u64;
    let halves = text.split_at(text.len() / 2);
    let all: Vec<_> = [&text, halves.0, halves.1].map(|bytes| (Stream::Targets, bytes.to_vec())).into();
    let methods = |slow| {
        let coded = encode(&all, &Known::default(), 3, slow, |_| Ok(())).unwrap();
        (coded.iter().map(|coded| coded[0]).collect::<Vec<_>>(), coded.iter().map(Vec::len).sum::<usize>())
    };
    let (framed, mixed) = (Method::Frame as u8, Method::Mixed as u8);
    // What saves the most is taken, not what comes first, and never more than there is time for.
    let sizes = [0, length / 2, length, 2 * length].map(methods);
    assert_eq!(sizes[0].0, [framed; 3]);
    assert_eq!(sizes[1].0.iter().filter(|&&method| method == mixed).count(), 1);
    assert!(sizes[2].0 == [mixed, framed, framed] || sizes[2].0 == [framed, mixed, mixed], "{sizes:?}");
    assert_eq!(sizes[3].0, [mixed; 3]);
    assert!(sizes.windows(2).all(|pair| pair[0].1 > pair[1].1), "{sizes:?}");
    let noise = streams().remove(3);
    assert_eq!(unlimited(Stream::Gaps, &noise)[0], Method::Stored as u8);
}

/// What is read beside the stream counts, and counts alike on both sides.
#[test]
fn what_stands_beside_it_foretells_it() {
    let text = streams().remove(5);
    let length = text.len() as u32;
    // The second half again, behind a copy of the first that is known.
    let file = [&text[..], &text[..]].concat();
    let parts = [(length / 2, length), (length, length + 40), (length + 60, length * 2)];
    let new: Vec<u8> = parts.iter().flat_map(|(from, to)| &file[*from as usize..*to as usize]).copied().collect();
    for kind in [Stream::Literals, Stream::Words] {
        let known = Known { file: &file, parts: &parts, old: &[] };
        let coded = mixed::encode(kind, &new, &known, usize::MAX).unwrap();
        assert!(coded.len() < mixed(kind, &new).len());
        let coded = [&[Method::Mixed as u8], &coded[..]].concat();
        let mut decoder = Decoder::new(kind, &coded, new.len() as u64, &Limits::default()).unwrap();
        let mut out = file.clone();
        for (from, to) in parts.map(|(from, to)| (from as usize, to as usize)) {
            out[from..to].fill(0);
            decoder.fill(&mut out, from..to).unwrap();
        }
        decoder.finish().unwrap();
        assert!(out == file, "{kind:?}");
    }
    let old: Vec<Beside> = text.iter().map(|byte| Beside { old: byte ^ 0x55, last: 3 }).collect();
    let known = Known { old: &old, ..Known::default() };
    let coded = mixed::encode(Stream::Changes, &text, &known, usize::MAX).unwrap();
    assert!(coded.len() < mixed(Stream::Changes, &text).len());
    let coded = [&[Method::Mixed as u8], &coded[..]].concat();
    let mut decoder = Decoder::new(Stream::Changes, &coded, text.len() as u64, &Limits::default()).unwrap();
    let again: Vec<u8> = old.iter().map(|beside| decoder.change(*beside).unwrap()).collect();
    assert_eq!(again, text);
    decoder.change(old[0]).unwrap_err();
}

#[test]
fn a_stream_has_its_length_and_no_other() {
    for bytes in streams().into_iter().filter(|bytes| bytes.len() > 3) {
        for coded in by_each(Stream::Literals, &bytes) {
            decode(Stream::Literals, &coded, bytes.len() + 1, 100).unwrap_err();
            decode(Stream::Literals, &coded, bytes.len() - 1, 100).unwrap_err();
            let more = [&coded[..], &[0]].concat();
            decode(Stream::Literals, &more, bytes.len(), 100).unwrap_err();
        }
        for coded in by_each(Stream::References, &bytes) {
            let mut early = Decoder::new(Stream::References, &coded, bytes.len() as u64, &Limits::default()).unwrap();
            early.read(&mut vec![0; bytes.len() - 1]).unwrap();
            assert_eq!(early.finish(), Err(ApplyError::Damaged("a stream is longer than what it is for")));
        }
    }
}

#[test]
fn damage_is_an_error_or_other_bytes_and_nothing_worse() {
    let mut next = numbers(99);
    for bytes in streams().into_iter().filter(|bytes| !bytes.is_empty()) {
        for coded in by_each(Stream::References, &bytes) {
            for _ in 0..12 {
                let cut = next() as usize % coded.len();
                decode(Stream::References, &coded[..cut], bytes.len(), 64).unwrap_err();
                let mut damaged = coded.clone();
                damaged[next() as usize % coded.len()] ^= 1 << (next() % 8);
                let _ = decode(Stream::References, &damaged, bytes.len(), 64);
            }
        }
    }
    for noise in streams() {
        for kind in Stream::ALL {
            let _ = decode(kind, &noise, 300, 64);
        }
    }
}

#[test]
fn what_it_takes_is_said_before_it_is_taken() {
    let bytes = &streams()[5];
    for coded in by_each(Stream::Literals, bytes) {
        let needed = memory(Stream::Literals, &coded, bytes.len() as u64).unwrap();
        let limits = |memory| Limits { memory, ..Limits::default() };
        Decoder::new(Stream::Literals, &coded, bytes.len() as u64, &limits(needed)).unwrap();
        if needed > 0 {
            let refused = Decoder::new(Stream::Literals, &coded, bytes.len() as u64, &limits(needed - 1)).unwrap_err();
            assert_eq!(refused, ApplyError::Memory { needed, allowed: needed - 1 });
        }
    }
    // Whatever length a stream says, and whatever window.
    for length in [0, 1 << 20, 1 << 31, u64::MAX] {
        for kind in Stream::ALL {
            assert!(memory(kind, &[Method::Mixed as u8], length).unwrap() < 6 << 20);
        }
    }
    let window_of_16_mib = [1, 0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3];
    memory(Stream::Gaps, &window_of_16_mib, 1 << 30).unwrap_err();
}

#[test]
fn time_that_is_up_stops_it() {
    let zeros = vec![0; 1 << 15];
    let coded = [&[Method::Mixed as u8], &mixed(Stream::Gaps, &zeros)[..]].concat();
    let limits = Limits { until: Some(std::time::Instant::now()), ..Limits::default() };
    let mut decoder = Decoder::new(Stream::Gaps, &coded, zeros.len() as u64, &limits).unwrap();
    assert_eq!(decoder.read(&mut vec![0; zeros.len()]), Err(ApplyError::TooSlow));
}

/// Streams as they are in `docs/formats/fxd-1-streams.md`: what was coded once is read for good.
#[test]
fn what_was_coded_once_is_read_for_good() {
    let page = include_str!("../../../../docs/formats/fxd-1-streams.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("` | `"))
        .map(|line| line.split('`').skip(1).step_by(2).collect())
        .collect();
    assert_eq!(rows.len(), 11, "{rows:?}");
    for row in rows {
        let [kind, bytes, coded] = row[..] else { panic!("{row:?}") };
        let kind = Stream::ALL.into_iter().find(|known| format!("{known:?}").to_lowercase() == kind).unwrap();
        let (bytes, coded) = (unhex(bytes), unhex(coded));
        assert_eq!(decode(kind, &coded, bytes.len(), 5).unwrap(), bytes);
        if coded[0] == Method::Mixed as u8 {
            assert_eq!(mixed(kind, &bytes), coded[1..], "{kind:?}");
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}
