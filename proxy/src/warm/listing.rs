//! What a warm job fetches: the objects that a manifest lists, a playlist and those it names, or the titles and objects of a list of URLs
//! or a sitemap.
//!
//! All are read through this node like everything else, and are warm thereby. Invariant: no more objects are listed than
//! [`OBJECTS_MAX`], whatever playlists say together.

use std::collections::HashSet;

use littoral_manifests::catalogue::{Body, Catalogue, is_title};
use littoral_manifests::limits::{NAMES_BYTES_MAX, SEGMENTS_MAX};
use littoral_manifests::playlist::{Media, Multivariant, Playlist, Rendition};
use littoral_manifests::{Presentation, Representation, Resource};
use url::Url;

use super::job::{Expected, Miss, REST, ROUNDS, Work};
use super::order::Source;

/// Objects of one job.
const OBJECTS_MAX: usize = SEGMENTS_MAX;

/// URLs, each once: several byte ranges of one file are one object.
#[derive(Default)]
struct Objects {
    urls: Vec<Url>,
    seen: HashSet<String>,
    names_bytes: usize,
    expected: Expected,
}

impl Objects {
    fn add(&mut self, url: &Url) -> Result<(), String> {
        if !self.seen.contains(url.as_str()) {
            self.names_bytes += url.as_str().len();
            self.seen.insert(url.as_str().to_owned());
            self.urls.push(url.clone());
        }
        self.check()
    }

    fn files(&mut self, media: &Media, bandwidth: u64) -> Result<(), String> {
        self.expect(bandwidth, media.duration_ms, media.files.len());
        media.files.iter().try_for_each(|file| self.add(&file.resource.url))
    }

    /// So many milliseconds at a bit rate; without either, so many objects of which nothing is known.
    fn expect(&mut self, bandwidth: u64, ms: u64, objects: usize) {
        let bytes = (u128::from(bandwidth) * u128::from(ms) / 8000).min(u128::from(u64::MAX / 16)) as u64;
        self.expected.bytes = self.expected.bytes.saturating_add(bytes).min(u64::MAX / 16);
        self.expected.unmeasured += if bytes == 0 { objects } else { 0 };
    }

    fn check(&self) -> Result<(), String> {
        if self.urls.len() <= OBJECTS_MAX && self.names_bytes <= NAMES_BYTES_MAX {
            return Ok(());
        }
        Err(format!(
            "more than {OBJECTS_MAX} objects or 64 MiB of names are listed: name representations, or warm parts of it"
        ))
    }
}

impl Work<'_> {
    /// What is to be fetched: every object of the representations asked for, once.
    pub(super) async fn list(&mut self) -> Result<Vec<Url>, String> {
        let mut objects = Objects::default();
        let source = self.job.source.lock().take().ok_or("it was listed before")?;
        match source {
            Source::Given(list) => self.catalogue(list, &mut objects).await?,
            Source::At(url) => {
                let body = self.read(&url).await.map_err(|miss| format!("the manifest: {}", miss.error))?;
                self.listed(&url, &body, &mut objects).await?;
            }
        }
        if objects.urls.is_empty() && self.job.failed() == 0 {
            return Err("the manifest lists no segments: nothing to warm".into());
        }
        let mut expected = objects.expected;
        expected.objects = objects.urls.len();
        for url in &objects.urls {
            let Ok(key) = self.key(url) else { continue };
            expected.stored += usize::from(self.node.store.has_whole(&key).await);
        }
        expected.seconds = self.job.plan.rate.map(|rate| (expected.bytes * 8).div_ceil(rate));
        self.job.progress.lock().expected = Some(expected);
        Ok(objects.urls)
    }

    async fn listed(&mut self, url: &Url, body: &[u8], objects: &mut Objects) -> Result<(), String> {
        let list = match Body::of(body) {
            Body::Mpd | Body::Playlist => return self.title(url, body, objects).await,
            Body::Urls => Catalogue::of_lines(body, url),
            Body::Sitemap => Catalogue::of_sitemap(body, url),
        };
        self.catalogue(list.map_err(|error| error.to_string())?, objects).await
    }

    /// What a list of URLs or a sitemap names: of titles what they list, everything else as it is. Sitemaps of an index are read, and
    /// no index below it (sitemaps.org).
    async fn catalogue(&mut self, catalogue: Catalogue, objects: &mut Objects) -> Result<(), String> {
        let mut urls = catalogue.urls;
        for map in &catalogue.sitemaps {
            let body = self.read(map).await.map_err(|miss| miss.error);
            match body.and_then(|body| Catalogue::of_sitemap(&body, map).map_err(|error| error.to_string())) {
                Ok(below) if below.sitemaps.is_empty() => urls.extend(below.urls),
                Ok(_) => self.leave_out(map, "an index of sitemaps inside another".into()),
                Err(error) => self.leave_out(map, error),
            }
            if urls.len() > OBJECTS_MAX {
                return Err(format!("the sitemaps name more than {OBJECTS_MAX} URLs"));
            }
        }
        let mut titles = HashSet::new();
        for url in &urls {
            if !is_title(url) {
                objects.expected.unmeasured += 1;
                objects.add(url)?;
            } else if titles.insert(url) {
                self.window().await;
                let listed = match self.read(url).await {
                    Ok(body) => self.title(url, &body, objects).await,
                    Err(miss) => Err(miss.error),
                };
                if let Err(error) = listed {
                    self.leave_out(url, error);
                }
                objects.check()?;
            }
        }
        Ok(())
    }

    /// What a manifest lists.
    async fn title(&mut self, url: &Url, body: &[u8], objects: &mut Objects) -> Result<(), String> {
        if Body::of(body) != Body::Playlist {
            let presentation = Presentation::parse(body, url).map_err(|error| error.to_string())?;
            self.has_all(&presentation.representations.iter().map(|one| one.id.as_str()).collect())?;
            let wanted = |one: &Representation| self.wants(&one.id);
            let listed = presentation.resources(wanted).into_iter();
            for one in presentation.representations.iter().filter(|one| wanted(one)) {
                let ms = one.segments.iter().map(|segment| segment.duration_ms).sum();
                objects.expect(one.bandwidth, ms, usize::from(one.index.is_some()));
            }
            let of = |one: &Representation| if wanted(one) { one.index.clone() } else { None };
            let indexed = presentation.representations.iter().filter_map(of);
            return listed.chain(indexed).try_for_each(|resource: Resource| objects.add(&resource.url));
        }
        match Playlist::parse(body, url).map_err(|error| error.to_string())? {
            Playlist::Multivariant(list) => self.playlists(&list, objects).await,
            Playlist::Media(media) => match self.job.plan.representations.first() {
                Some(id) => Err(format!("the playlist is of one representation, none is named {id:?} in it")),
                None => objects.files(&media, 0),
            },
        }
    }

    /// The files of the playlists asked for. One that cannot be had or read is a failure of the job, not its end.
    async fn playlists(&mut self, list: &Multivariant, objects: &mut Objects) -> Result<(), String> {
        self.has_all(&list.renditions.iter().map(|one| one.id.as_str()).collect())?;
        let mut read = HashSet::new();
        for Rendition { id, url, bandwidth, .. } in &list.renditions {
            if !self.wants(id) || !read.insert(url) {
                continue;
            }
            self.window().await;
            let body = self.read(url).await.map_err(|miss| miss.error);
            let media = body.and_then(|body| list.media(&body, url).map_err(|error| error.to_string()));
            match media {
                Ok(media) => objects.files(&media, *bandwidth)?,
                Err(error) => self.leave_out(url, format!("the playlist of {id:?}: {error}")),
            }
        }
        Ok(())
    }

    /// What should have told what to fetch is one more that failed.
    fn leave_out(&self, url: &Url, error: String) {
        self.job.progress.lock().total += 1;
        self.job.give_up(url, error);
    }

    fn wants(&self, id: &String) -> bool {
        let asked = &self.job.plan.representations;
        asked.is_empty() || asked.contains(id)
    }

    fn has_all(&self, known: &HashSet<&str>) -> Result<(), String> {
        let unknown = self.job.plan.representations.iter().find(|id| !known.contains(id.as_str()));
        unknown.map_or(Ok(()), |id| Err(format!("the manifest has no representation {id:?}")))
    }

    /// The body of a manifest, which is warm and counted then.
    async fn read(&mut self, url: &Url) -> Result<Vec<u8>, Miss> {
        let mut rest = REST;
        for _ in 1..ROUNDS {
            match self.manifest(url).await {
                Err(miss) if miss.again => tokio::time::sleep(rest).await,
                outcome => return outcome,
            }
            self.job.progress.lock().retries += 1;
            rest *= 2;
        }
        self.manifest(url).await
    }

    async fn manifest(&mut self, url: &Url) -> Result<Vec<u8>, Miss> {
        let mut body = Vec::new();
        let got = self.warm(url, Some(&mut body)).await?;
        self.job.progress.lock().total += 1;
        self.count(&got);
        Ok(body)
    }
}
