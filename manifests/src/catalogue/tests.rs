//! Lists and sitemaps as people write them, and as nobody should.

use proptest::prelude::*;

use super::*;

fn base() -> Url {
    Url::parse("http://video.example/new/list.txt").unwrap()
}

fn told(urls: &[Url]) -> Vec<&str> {
    urls.iter().map(Url::as_str).collect()
}

#[test]
fn a_body_is_told_by_how_it_begins() {
    for (text, expected) in [
        ("#EXTM3U\n", Body::Playlist),
        ("#EXTM3U8 is a comment\n/a\n", Body::Urls),
        ("\u{feff} <?xml version=\"1.0\"?><!-- no --><urlset xmlns=\"x\">", Body::Sitemap),
        ("<s:sitemapindex xmlns:s=\"x\"/>", Body::Sitemap),
        ("<MPD/>", Body::Mpd),
        ("<html>", Body::Mpd),
        ("<", Body::Mpd),
        ("/a\n", Body::Urls),
        ("", Body::Urls),
    ] {
        assert_eq!(Body::of(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn a_list_has_a_url_on_each_line_that_is_no_comment() {
    let list = "# new this week\r\n/film/manifest.mpd\r\n\n  http://other.example/a b.mp4  \n";
    let list = Catalogue::of_lines(list.as_bytes(), &base()).unwrap();
    assert_eq!(told(&list.urls), ["http://video.example/film/manifest.mpd", "http://other.example/a%20b.mp4"]);
    assert_eq!((is_title(&list.urls[0]), is_title(&list.urls[1])), (true, false));
    assert!(
        is_title(&Url::parse("http://h/A/INDEX.M3U8?x=.mp4").unwrap())
            && !is_title(&Url::parse("http://h/.mpd").unwrap().join("mpd").unwrap())
    );
    for (text, line) in [("not found", 1), ("/a\nfilm.mpd", 2), ("/a\nftp://h/a", 2), ("/a\n\nhttp://[", 3)] {
        assert_eq!(Catalogue::of_lines(text.as_bytes(), &base()), Err(CatalogueError::NoUrl(line)), "{text:?}");
    }
    assert_eq!(Catalogue::of_lines(b"/a\n\xff://", &base()), Err(CatalogueError::NoUrl(2)));
}

#[test]
fn a_sitemap_names_pages_and_videos_and_an_index_names_sitemaps() {
    // The shape of the examples on sitemaps.org and in the description of the video extension.
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:video=\"http://www.google.com/schemas/sitemap-video/1.1\">\n\
        <url><loc>http://video.example/watch?a=1&amp;b=%20&#x26;c</loc><lastmod>2026-01-01</lastmod>\n\
        <video:video><video:title>loc</video:title><video:content_loc><![CDATA[/film/manifest.mpd]]></video:content_loc></video:video></url>\n\
        <url><loc>\n /b.mp4 </loc></url></urlset>";
    let map = Catalogue::of_sitemap(text.as_bytes(), &base()).unwrap();
    let expected = [
        "http://video.example/watch?a=1&b=%20&c",
        "http://video.example/film/manifest.mpd",
        "http://video.example/b.mp4",
    ];
    assert_eq!((told(&map.urls), map.sitemaps.len()), (expected.to_vec(), 0));
    let index = "<sitemapindex><sitemap><loc>/1.xml</loc></sitemap><sitemap><loc>/2.xml</loc></sitemap></sitemapindex>";
    let index = Catalogue::of_sitemap(index.as_bytes(), &base()).unwrap();
    assert_eq!(
        (index.urls.len(), told(&index.sitemaps)),
        (0, vec!["http://video.example/1.xml", "http://video.example/2.xml"])
    );
}

#[test]
fn no_list_takes_more_than_the_named_bounds_and_no_entity_is_expanded() {
    let lines = |line: &str, times: usize| Catalogue::of_lines(line.repeat(times).as_bytes(), &base()).unwrap_err();
    assert_eq!(lines("#\n", CATALOGUE_BYTES_MAX), CatalogueError::TooLarge);
    assert_eq!(lines("/\n", CATALOGUE_URLS_MAX + 1), CatalogueError::TooMany("URLs"));
    assert_eq!(lines(&format!("/{}", "x".repeat(URL_BYTES_MAX)), 1), CatalogueError::TooMany("bytes in a URL"));
    let deep = Url::parse(&format!("http://h/{}/", "d".repeat(4000))).unwrap();
    let short = "<loc>a</loc>".repeat(20_000);
    assert_eq!(Catalogue::of_sitemap(short.as_bytes(), &deep).unwrap_err(), CatalogueError::TooMany("names"));
    let of = |text: &str| Catalogue::of_sitemap(text.as_bytes(), &base()).unwrap_err();
    assert_eq!(of(&"<sitemap><loc>/</loc></sitemap>".repeat(SITEMAPS_MAX + 1)), CatalogueError::TooMany("sitemaps"));
    assert_eq!(of(&format!("<loc>{}", "x&amp;".repeat(2 * URL_BYTES_MAX))), CatalogueError::TooMany("bytes in a URL"));
    assert!(of("<!DOCTYPE x [<!ENTITY a \"b\">]><urlset/>").to_string().ends_with("a document type definition"));
    assert!(of("<urlset><url><loc>/a</loc></url>").to_string().ends_with("in the middle"));
    assert!(of("<urlset><loc>&a;</loc>").to_string().ends_with("XML's five"));
    assert!(of("<urlset><loc>mailto:a@b</loc>").to_string().ends_with("no URL"));
}

proptest! {
    /// Nothing makes it panic.
    #[test]
    fn any_text_is_a_list_or_an_error(text in "(<(/)?(urlset|loc|sitemap|url|content_loc)>|&(amp|lt|#x41|x);|[ -~]{0,12}|\n){0,30}") {
        let _ = Body::of(text.as_bytes());
        let _ = Catalogue::of_lines(text.as_bytes(), &base());
        let _ = Catalogue::of_sitemap(text.as_bytes(), &base());
    }
}
