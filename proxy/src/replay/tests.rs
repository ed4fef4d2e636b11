//! Traces in files, sizes and plots, without a plugin.

use std::io::Write;

use super::*;
use littoral_cache::trace::Request;

fn records(count: u32) -> Vec<u8> {
    let record = |number: u32| {
        let id = u64::from(number % 10);
        [&number.to_le_bytes()[..], &id.to_le_bytes(), &(100 + number % 10).to_le_bytes(), &(-1_i64).to_le_bytes()]
            .concat()
    };
    (0..count).flat_map(record).collect()
}

fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

/// Collects what it is asked.
#[derive(Default)]
struct Asked(Vec<Request>);

impl Tier for Asked {
    fn request(&mut self, request: &Request) {
        self.0.push(*request);
    }
    fn tally(&self) -> Tally {
        Tally::default()
    }
}

#[test]
fn a_trace_is_the_same_plain_and_compressed() {
    let plain = records(1000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let files = [
        ("a.bin", plain.clone()),
        ("a.zst", zstd::encode_all(&plain[..], 3).unwrap()),
        ("a.gz", gzip.finish().unwrap()),
    ];
    for (name, content) in files {
        let (_directory, path) = file(name, &content);
        let (input, mut asked) = (Input::new(&path, None, false), Asked::default());
        input.pass("test", None, &mut asked).unwrap();
        assert_eq!((asked.0.len(), asked.0[999].id, asked.0[999].bytes), (1000, 9, 109), "{name}");
        let survey = input.survey(None).unwrap();
        assert_eq!((survey.objects, survey.bytes, survey.requests), (10, 1045, 1000), "{name}");
    }
}

#[test]
fn what_is_cut_or_not_there_is_told_with_its_place() {
    let (_directory, path) = file("a.bin", &records(3)[..70]);
    let error = Input::new(&path, None, false).survey(None).unwrap_err();
    assert!(error.starts_with("ends inside a record: 22 bytes at offset 48"), "{error}");
    let compressed = zstd::encode_all(&records(9_000)[..], 3).unwrap();
    let (_directory, path) = file("a.zst", &compressed[..compressed.len() / 2]);
    assert!(Input::new(&path, None, false).survey(None).is_err());
    assert!(
        Input::new(Path::new("/nowhere/a.bin"), None, false).survey(None).unwrap_err().starts_with("cannot be read")
    );
}

#[test]
fn when_an_object_comes_again_is_found_where_the_trace_does_not_say_it() {
    let (_directory, path) = file("a.csv", b"1,a,10\n2,b,10\n3,a,10\n");
    let next = Input::new(&path, None, false).next_requests(None).unwrap().unwrap();
    assert_eq!(next, [2, u64::MAX, u64::MAX]);
}

#[test]
fn a_size_is_bytes_or_a_percentage() {
    let size = |text: &str| text.parse::<Size>();
    assert_eq!(
        (size("2GB"), size("7"), size("1.5 %")),
        (Ok(Size::Bytes(2_000_000_000)), Ok(Size::Bytes(7)), Ok(Size::Percent(1.5)))
    );
    for wrong in ["", "0", "0%", "101%", "x%", "-1%", "many", "NaN%"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
    let survey = Survey { bytes: 1000, ..Survey::default() };
    assert_eq!(Size::Percent(5.0).of(Some(&survey)), 50);
}

#[test]
fn a_plot_has_the_curve_the_policies_and_what_they_are() {
    let curve = [(1000, 0.1, 0.1), (100_000, 0.4, 0.4), (1_000_000, 0.5, 0.5)];
    let point = |policy: &'static str, bytes, ratio| plot::Point { policy, bytes, ratio };
    let drawn = plot::draw(&curve, &[point("lru", 100_000, 0.4), point("ours", 100_000, 0.6)]);
    assert!(drawn.contains('·') && drawn.contains("A lru   B ours") && drawn.contains(" 60.0 % │"), "{drawn}");
    assert!(plot::draw(&[], &[]).contains("lru at every size"));
}

#[test]
fn a_policy_that_is_none_is_told_what_there_is() {
    let options = Options { plugins: None, config: "{}", metric: littoral_evict::Metric::Both };
    let error = policy::find("lruu", &options).err().unwrap();
    assert!(error.starts_with("no policy is called \"lruu\": there are native, lru, gdsf"), "{error}");
}
