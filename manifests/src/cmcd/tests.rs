//! Each key in the shapes the standard shows, each carrier, and hostile text.

use super::*;

fn read(text: &str) -> Cmcd<'_> {
    let mut cmcd = Cmcd::default();
    cmcd.read(text).unwrap();
    cmcd
}

/// One pair of each key, as a player sends it.
const EACH: [(&str, Value<'static>); Key::COUNT] = [
    ("br=3200", Value::Integer(3200)),
    ("d=4004", Value::Integer(4004)),
    ("ot=v", Value::Token("v")),
    ("tb=6000", Value::Integer(6000)),
    ("bl=21300", Value::Integer(21_300)),
    ("dl=18500", Value::Integer(18_500)),
    ("mtp=48100", Value::Integer(48_100)),
    (r#"nor="..%2Ftrack.m4v""#, Value::Text("..%2Ftrack.m4v")),
    (r#"nrr="12323-48763""#, Value::Text("12323-48763")),
    ("su", Value::Flag(true)),
    (r#"cid="faec5fc2-ac30-11ea""#, Value::Text("faec5fc2-ac30-11ea")),
    ("pr=1.08", Value::Decimal(1080)),
    ("sf=d", Value::Token("d")),
    (r#"sid="6e2fb550-c457-11e9""#, Value::Text("6e2fb550-c457-11e9")),
    ("st=ll", Value::Token("ll")),
    ("v=2", Value::Integer(2)),
    ("bs", Value::Flag(true)),
    ("rtp=12000", Value::Integer(12_000)),
    ("ab=(4800)", Value::List("4800")),
    ("lb=(200;v 64;a)", Value::List("200;v 64;a")),
    ("lab=264", Value::Integer(264)),
    ("tab=6128", Value::Integer(6128)),
    ("tpb=(6000;v)", Value::List("6000;v")),
    ("pb=(3200;v 128;a)", Value::List("3200;v 128;a")),
    ("ltc=2500", Value::Integer(2500)),
    ("pt=123456", Value::Integer(123_456)),
    ("sn=17", Value::Integer(17)),
    ("sta=p", Value::Token("p")),
    ("tbl=(30000;v)", Value::List("30000;v")),
    ("bg=?0", Value::Flag(false)),
    ("bsa=(2;v)", Value::List("2;v")),
    ("bsd=(340;v)", Value::List("340;v")),
    ("bsda=(1200;v)", Value::List("1200;v")),
    (r#"cdn="alpha""#, Value::Text("alpha")),
    (r#"cs="sig""#, Value::Text("sig")),
    ("df=3", Value::Integer(3)),
    ("dfa=30", Value::Integer(30)),
    (r#"ec=("E1" "E\"2")"#, Value::List(r#""E1" "E\"2""#)),
    ("msd=640", Value::Integer(640)),
    ("nr", Value::Flag(true)),
    ("ts=1795219200000", Value::Integer(1_795_219_200_000)),
    ("e=ps", Value::Token("ps")),
    (r#"h="h.example""#, Value::Text("h.example")),
    (r#"cen="ours""#, Value::Text("ours")),
    ("rc=206", Value::Integer(206)),
    ("ttfb=31", Value::Integer(31)),
    ("ttfbb=32", Value::Integer(32)),
    ("ttlb=80", Value::Integer(80)),
    (r#"smrt="YQ==""#, Value::Text("YQ==")),
    (r#"url="https://e/x?a,b=(c)""#, Value::Text("https://e/x?a,b=(c)")),
    (r#"cmsds="YQ==""#, Value::Text("YQ==")),
    (r#"cmsdd="YQ==""#, Value::Text("YQ==")),
];

#[test]
fn each_key_is_read_alone_and_among_the_others() {
    let all = EACH.map(|(pair, _)| pair).join(", ");
    let together = read(&all);
    for (key, (pair, value)) in Key::ALL.iter().zip(EACH) {
        assert!(pair.split('=').next() == Some(key.as_str()), "{pair} is not for {key:?}");
        assert_eq!((read(pair).get(*key), together.get(*key)), (Some(value), Some(value)), "{pair}");
        assert_eq!(Key::of(key.as_str()), Some(*key));
    }
    assert_eq!((together.ignored(), together.iter().count()), (0, Key::COUNT));
    assert_eq!(together.version(), 2);
}

#[test]
fn numbers_of_version_two_are_told_apart_by_object_type() {
    let cmcd = read("bl=(3200;v 5000;a),mtp=25400,pr=0.5,br=(128;a)");
    assert_eq!([cmcd.number_for(Key::Bl, "v"), cmcd.number_for(Key::Bl, "a")], [Some(3200), Some(5000)]);
    assert_eq!([cmcd.number(Key::Bl), cmcd.number_for(Key::Mtp, "v")], [Some(3200), Some(25_400)]);
    assert_eq!([cmcd.thousandths(Key::Pr), cmcd.thousandths(Key::Mtp)], [Some(500), Some(25_400_000)]);
    assert_eq!(cmcd.number_for(Key::Br, "v"), Some(128), "the only one there is");
}

#[test]
fn what_comes_next_is_read_in_both_versions() {
    let next = |text: &'static str| {
        read(text).next_objects().map(|(url, range)| (url.into_owned(), range)).collect::<Vec<_>>()
    };
    assert_eq!(next(r#"nor="..%2F300kbps%2Ftrack.m4v",nrr="0-99""#), [("../300kbps/track.m4v".into(), Some("0-99"))]);
    assert_eq!(
        next(r#"v=2,nor=("a%20b.m4s" "c.m4s";x;r="5-";y="z;r=1")"#),
        [("a b.m4s".into(), None), ("c.m4s".into(), Some("5-"))]
    );
    assert_eq!(next("bl=1"), []);
    assert_eq!(next(r#"nor="%FF""#), [], "no UTF-8");
}

#[test]
fn what_is_malformed_or_unknown_is_passed_over_and_counted() {
    for (text, ignored) in [
        ("bl=,mtp=5", 1),
        ("bl=fast,mtp=5", 1),
        ("bl=\"4200\",mtp=5", 1),
        ("com.example-x=1,mtp=5", 1),
        ("su=1,mtp=5", 1),
        ("bl=12 34,mtp=5", 1),
        ("bl=1234567890123456,mtp=5", 1),
        ("bl=-,br=1.,pr=(,mtp=5", 3),
        ("=,=5,mtp=5", 2),
        ("\0bl=1,mtp=5", 1),
        ("bl=?2,mtp=5", 1),
        ("mtp=5,sid=\"open", 1),
        ("mtp=5;x=\",\";y", 0),
        (" , mtp=5 ,\t", 0),
        ("mtp=9,mtp=5", 0),
    ] {
        let cmcd = read(text);
        assert_eq!((cmcd.ignored(), cmcd.number(Key::Mtp)), (ignored, Some(5)), "{text}");
    }
    assert!(read("").is_empty() && read("x=1").is_empty());
}

#[test]
fn what_is_too_much_is_refused_by_name() {
    let mut cmcd = Cmcd::default();
    let long = format!("mtp=1,cid=\"{}\"", "x".repeat(64 << 10));
    assert_eq!(cmcd.read(&long), Err(CmcdError::TooLarge));
    assert!(cmcd.is_empty(), "nothing of it is read");
    let many = "a=1,".repeat(CMCD_PAIRS_MAX + 1);
    assert_eq!(cmcd.read(&many), Err(CmcdError::TooMany));
    assert_eq!(query(&format!("CMCD={long}"), &mut Vec::new()), Err(CmcdError::TooLarge));
    assert_eq!(json(&long, &mut String::new()), Err(CmcdError::TooLarge));
}

#[test]
fn a_query_is_decoded_once() {
    let mut buffer = Vec::new();
    let text = query("x=1&CMCD=bl%3D4200%2Csid%3D%22a%2525b%22%2Cnor%3D%22%252E%22&CMCD=no", &mut buffer).unwrap();
    assert_eq!(text, Some(r#"bl=4200,sid="a%25b",nor="%2E""#));
    for (encoded, expected) in [("%", "%"), ("a%4", "a%4"), ("%zz", "%zz"), ("a+b", "a+b"), ("%aü", "%aü"), ("", "")]
    {
        assert_eq!(query(&format!("CMCD={encoded}"), &mut buffer), Ok(Some(expected)), "{encoded}");
    }
    assert_eq!(query("CMCD=%ff", &mut buffer), Err(CmcdError::Encoding));
    assert_eq!(query("XCMCD=a&cmcd=b", &mut buffer), Ok(None));
}

#[test]
fn json_says_the_same_as_a_header() {
    let mut buffer = String::new();
    let text = r#"{"bl":[3200,5000],"bs":true,"su":false,"pr":1.25,"sid":"a\"b\u00fc","ot":"v","nor":["x"],"ec":[],"com.example-x":-1}"#;
    let text = json(text, &mut buffer).unwrap();
    assert_eq!(text, r#"bl=(3200 5000),bs=?1,su=?0,pr=1.250,sid="a\"b",ot="v",nor=("x"),ec=(),com.example-x=-1"#);
    let cmcd = read(text);
    assert_eq!((cmcd.number(Key::Bl), cmcd.flag(Key::Bs), cmcd.flag(Key::Su)), (Some(3200), true, false));
    assert_eq!((cmcd.text(Key::Ot), cmcd.thousandths(Key::Pr), cmcd.ignored()), (Some("v"), Some(1250), 1));
    for wrong in ["", "[]", "{", r#"{"a":{}}"#, r#"{"a":[[1]]}"#, r#"{"a b":1}"#, r#"{"a":null}"#, "{}{}", "1"] {
        assert_eq!(json(wrong, &mut String::new()), Err(CmcdError::Json), "{wrong}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"([a-z]{1,5}=?|[-0-9.,;=()?"\\ %{}:\[\]]|\PC){0,60}"#) {
        let (mut bytes, mut buffer) = (Vec::new(), String::new());
        let mut cmcd = Cmcd::default();
        let _ = cmcd.read(&text);
        cmcd.iter().for_each(|(_, value)| { value.items().count(); });
        cmcd.next_objects().count();
        let _ = query(&format!("CMCD={text}"), &mut bytes);
        let _ = json(&text, &mut buffer);
    }
}
