//! Readers of traces: each form, and what is none.

use super::*;

fn read(text: &[u8], form: Form) -> (Vec<Request>, Option<String>) {
    let mut reader = Reader::new(text, form);
    let mut requests = Vec::new();
    loop {
        match reader.next_request() {
            Ok(Some(request)) => requests.push(request),
            Ok(None) => return (requests, None),
            Err(error) => return (requests, Some(error.to_string())),
        }
    }
}

#[test]
fn a_record_that_is_cut_is_an_error_with_its_offset_after_all_that_is_whole() {
    let mut record = Vec::new();
    record.extend_from_slice(&7_u32.to_le_bytes());
    record.extend_from_slice(&(1_u64 << 40).to_le_bytes());
    record.extend_from_slice(&1000_u32.to_le_bytes());
    record.extend_from_slice(&(-1_i64).to_le_bytes());
    let trace = [&record[..], &record[..], &record[..5]].concat();
    let (requests, error) = read(&trace, Form::Oracle);
    assert_eq!(requests, [Request { now_ms: 7000, id: 1 << 40, bytes: 1000, next: None, place: None }; 2]);
    assert!(error.unwrap().starts_with("ends inside a record: 5 bytes at offset 48"));
    assert_eq!(read(&[], Form::Oracle), (Vec::new(), None));
}

#[test]
fn columns_are_found_by_their_names_and_else_are_time_object_bytes() {
    let (requests, error) =
        read(b"time_s,obj_id,size,title,rung,seg\r\n1,77,500,3,-1,-1\r\n2,78,600,3,2,9\n", Form::Csv);
    let place = |rung, segment| Some(Place { title: 3, rung, segment });
    assert_eq!(error, None);
    assert_eq!(requests[0].place, place(Place::NONE, Place::HEAD));
    assert_eq!(requests[1], Request { now_ms: 2000, id: 78, bytes: 600, next: None, place: place(2, 9) });
    let (requests, _) = read(b"1.5,/a,10\n2,/b,11,more\n3,/a,10", Form::Csv);
    assert_eq!(requests.len(), 3);
    assert!(requests[0].id == requests[2].id && requests[0].id != requests[1].id && requests[0].now_ms == 1000);
    let wrong = |text: &[u8]| read(text, Form::Csv).1.unwrap();
    assert_eq!(wrong(b"1,2,3\n1,2,x\n"), "line 2, at offset 6: the size in column 3 is no number: \"x\"");
    assert!(wrong(b"time,object\n").ends_with("no column is the size: name one size or bytes or obj_size"));
}

#[test]
fn a_line_without_end_is_an_error_and_not_memory() {
    let (requests, error) = read(&vec![b'1'; 10 << 20], Form::Csv);
    assert!(requests.is_empty() && error.unwrap().contains("longer than 65536 bytes"));
}

#[test]
fn all_formats_of_the_access_log_tell_the_same_requests() {
    let json = br#"{"time":"2026-11-22T05:12:07.250Z","host":"v.example","method":"GET","path":"/t/720p/seg-12.m4s?x=1","status":200,"bytes":9000,"end":"ok"}
{"time":"2026-11-22T05:12:08.000Z","host":"v.example","method":"HEAD","path":"/a","status":200,"bytes":0}
{"time":"2026-11-22T05:12:06.000Z","host":"v.example","method":"GET","path":"/a","status":404,"bytes":10}
{"time":"2026-11-22T05:12:06.000Z","host":"v.example","method":"GET","path":"/b","status":206,"bytes":10}
"#;
    let (requests, error) = read(json, Form::Log);
    assert_eq!((requests.len(), error), (2, None));
    assert_eq!((requests[0].now_ms, requests[0].bytes), (1_795_324_327_250, 9000));
    assert_eq!(requests[1].now_ms, requests[0].now_ms, "time does not go back");
    let common =
        b"192.0.2.1 - - [22/Nov/2026:05:12:07 +0000] \"GET /t/720p/seg-12.m4s HTTP/1.1\" 200 9000 \"-\" \"x\"\n";
    let (requests, error) = read(common, Form::Log);
    assert_eq!((requests[0].now_ms, requests[0].bytes, error), (1_795_324_327_000, 9000, None));
    assert_eq!(requests[0].place.unwrap().segment, 12);
    for wrong in
        ["{\"time\":7}", "hello", "x [y] \"GET / HTTP/1.1\" 200 1", "x [22/Foo/2026:05:12:07 +0000] \"GET / H\" 200 1"]
    {
        assert!(read(wrong.as_bytes(), Form::Log).1.unwrap().starts_with("line 1, at offset 0: "), "{wrong}");
    }
}

#[test]
fn what_a_player_tells_of_itself_makes_no_other_object() {
    let line = |path: &str| format!("c - - [22/Nov/2026:05:12:07 +0000] \"GET {path} HTTP/1.1\" 200 9\n");
    let paths = ["/a?CMCD=br%3D300", "/a", "/b?x=1&CMCD=bl%3D2&y=2", "/b?x=1&y=2", "/b?x=1"];
    let (requests, error) = read(paths.map(line).concat().as_bytes(), Form::Log);
    assert_eq!(error, None);
    let ids: Vec<u64> = requests.iter().map(|request| request.id).collect();
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[3] != ids[4], "{ids:?}");
}

#[test]
fn the_place_of_an_object_is_in_its_url_however_packagers_name_it() {
    use super::place::place_of;
    let place = |path: &str| place_of("v.example", path);
    let same_track = |one: &str, other: &str| {
        let (one, other) = (place(one).unwrap(), place(other).unwrap());
        (one.title == other.title, one.rung == other.rung)
    };
    assert_eq!(same_track("/t/720p/seg-1.m4s", "/t/720p/seg-2.m4s"), (true, true));
    assert_eq!(same_track("/t/720p/seg-1.m4s", "/t/360p/seg-1.m4s"), (true, false));
    assert_eq!(same_track("/t/seg-720p-1.m4s", "/t/seg-360p-1.m4s"), (true, false));
    assert_eq!(same_track("/t/720p/seg-1.m4s", "/u/720p/seg-1.m4s"), (false, true));
    assert_eq!(same_track("/t/manifest.mpd", "/t/720p/seg-1.m4s"), (true, false));
    assert_eq!(place("/t/720p/seg-00012.m4s?token=3").unwrap().segment, 12);
    assert_eq!(place("/t/720p/init.mp4").unwrap().segment, Place::HEAD);
    assert_eq!(place("/t/manifest.mpd").unwrap().rung, Place::NONE);
    assert_eq!(place("/t/720p/ն12.m4s").unwrap().segment, 12, "what stands before is a character of two bytes");
    assert_eq!((place("/style.css"), place("/"), place("nothing")), (None, None, None));
}

#[test]
fn the_form_of_a_file_is_told_by_its_name() {
    let form = |name: &str| Form::of_name(name);
    assert_eq!((form("a.oracleGeneral.bin.zst"), form("a")), (Form::Oracle, Form::Oracle));
    assert_eq!((form("a.CSV.gz"), form("access.log.zst"), form("x.jsonl")), (Form::Csv, Form::Log, Form::Log));
}
