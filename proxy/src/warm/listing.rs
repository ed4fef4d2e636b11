//! What a warm job fetches: the objects that a manifest lists, a playlist and those it names, or the titles and objects of a list of URLs
//! or a sitemap.
//!
//! All are read through this node like everything else, and are warm thereby. What of it is fetched, and in which order, is [`choice`]'s. Invariant: no more objects are listed than
//! [`OBJECTS_MAX`], whatever playlists say together.

use std::collections::{HashMap, HashSet};

use littoral_cache::popularity::{Estimate, Watched};
use littoral_manifests::catalogue::{Body, Catalogue, is_title};
use littoral_manifests::limits::{NAMES_BYTES_MAX, SEGMENTS_MAX};
use littoral_manifests::playlist::{File, Media, Multivariant, Playlist, Rendition, Role};
use littoral_manifests::{Presentation, Representation};
use url::Url;

use super::choice::{self, Bounds, Object};
use super::fetch::Miss;
use super::job::{REST, ROUNDS, Work};
use super::order::Source;
use super::stored::is_stored;
use crate::origin::hash_of;

/// Objects of one job.
const OBJECTS_MAX: usize = SEGMENTS_MAX;
/// Bytes of an object of which nothing tells them, for a budget.
const BYTES_ASSUMED: u64 = 1 << 20;

/// What is asked of a representation, as far as there is popularity.
#[derive(Default)]
struct Asked<'a> {
    estimate: Option<&'a Estimate>,
    watched: Watched,
}

impl Asked<'_> {
    /// Requests for the segment at a place of so many.
    fn hits(&self, at: usize, count: usize) -> f64 {
        self.estimate.map_or(0.0, |estimate| estimate.hits(&self.watched, at, count))
    }

    /// Bytes of a segment: as the log has them, else so many milliseconds at a bit rate; without either nothing is known.
    fn bytes(&self, bandwidth: u64, ms: u64) -> Option<u64> {
        let told = (u128::from(bandwidth) * u128::from(ms) / 8000).min(u128::from(u64::MAX / 16)) as u64;
        self.watched.bytes.or((told > 0).then_some(told))
    }
}

/// What could be fetched, each URL once: several byte ranges of one file are one object.
#[derive(Default)]
struct Objects {
    all: Vec<Object>,
    /// By URL.
    places: HashMap<String, usize>,
    names_bytes: usize,
}

impl Objects {
    /// `bytes`: `None` where nothing tells them.
    fn add(&mut self, url: &Url, bytes: Option<u64>, hits: f64) -> Result<(), String> {
        match self.places.get(url.as_str()).map(|place| &mut self.all[*place]) {
            Some(known) => {
                known.bytes = known.bytes.zip(bytes).map(|(one, other)| one.saturating_add(other));
                known.hits += hits;
            }
            None => {
                self.names_bytes += url.as_str().len();
                self.places.insert(url.as_str().to_owned(), self.all.len());
                self.all.push(Object { url: url.clone(), bytes, hits, stored: false });
            }
        }
        self.check()
    }

    /// The files of a playlist, of which so much is asked.
    fn files(&mut self, media: &Media, bandwidth: u64, asked: &Asked<'_>) -> Result<(), String> {
        let count = media.files.iter().filter(|file| file.number.is_some()).count();
        let mut at = 0;
        for File { resource, duration_ms, number, .. } in &media.files {
            let bytes = if number.is_some() { asked.bytes(bandwidth, *duration_ms) } else { Some(0) };
            self.add(&resource.url, bytes, asked.hits(at, count))?;
            at += usize::from(number.is_some());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.all.len() <= OBJECTS_MAX && self.names_bytes <= NAMES_BYTES_MAX {
            return Ok(());
        }
        Err(format!(
            "more than {OBJECTS_MAX} objects or 64 MiB of names are listed: name representations, or warm parts of it"
        ))
    }
}

impl Work<'_> {
    /// What is to be fetched: every object of the representations asked for that the order does not leave out, once.
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
        let mut objects = objects.all;
        if objects.is_empty() && self.job.failed() == 0 {
            return Err("the manifest lists no segments: nothing to warm".into());
        }
        for object in &mut objects {
            let Ok(key) = self.key(&object.url) else { continue };
            object.stored = is_stored(self.node, &object.url, &key).await;
        }
        let (plan, listed) = (&self.job.plan, objects.len());
        let estimate = plan.popularity.as_deref();
        let bounds = Bounds {
            part: plan.part,
            bytes: plan.bytes,
            mean_bytes: estimate.map_or(BYTES_ASSUMED, Estimate::mean_bytes),
            by_popularity: estimate.is_some(),
        };
        let chosen = bounds.choose(objects, |url, copies| self.owns(url, copies));
        let mut expected = choice::expected(&chosen, listed, estimate.map(Estimate::bytes));
        expected.seconds = plan.rate.map(|rate| (expected.bytes * 8).div_ceil(rate));
        self.job.progress.lock().expected = Some(expected);
        Ok(chosen.into_iter().map(|object| object.url).collect())
    }

    /// Whether this node is among the first so many that have an object, of the siblings of its site's shield.
    fn owns(&self, url: &Url, copies: usize) -> bool {
        let Some((host, path)) = crate::purge::host_and_path(url.as_str()) else { return true };
        let key = crate::purge::key_of(self.node, &host, &path);
        let sites = self.node.sites.load();
        let shield = sites.find(&host).and_then(|site| site.shield.as_ref());
        shield.is_none_or(|shield| shield.owns(&self.node.name, hash_of(key.text()), copies))
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
                let Watched { bytes, requests } = self.object(url);
                objects.add(url, bytes, requests)?;
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
            return self.representations(&presentation, objects);
        }
        match Playlist::parse(body, url).map_err(|error| error.to_string())? {
            Playlist::Multivariant(list) => self.playlists(&list, objects).await,
            Playlist::Media(media) => match self.job.plan.representations.first() {
                Some(id) => Err(format!("the playlist is of one representation, none is named {id:?} in it")),
                None => objects.files(&media, 0, &self.asked_of(&media)),
            },
        }
    }

    /// What a presentation lists of the representations asked for, initialisation segments first.
    fn representations(&self, presentation: &Presentation, objects: &mut Objects) -> Result<(), String> {
        let asked = |one: &Representation| {
            let first = one.resource(0).or_else(|| one.init.clone());
            self.asked(first.as_ref().map_or_else(|| &one.places[0].url, |resource| &resource.url))
        };
        let listed = presentation.representations.iter().filter(|one| self.wants(&one.id));
        let mut wanted: Vec<(&Representation, Asked<'_>)> = listed.map(|one| (one, asked(one))).collect();
        let watched = wanted.iter().map(|(one, asked)| ((one.period, one.set), asked.watched.requests)).collect();
        let seen = choice::seen(watched, self.job.plan.share);
        wanted = wanted.into_iter().zip(seen).filter_map(|(one, seen)| seen.then_some(one)).collect();
        // A viewer goes on from period to period.
        let mut longest = vec![0; presentation.periods.len()];
        for (one, _) in &wanted {
            longest[one.period] = one.segments.len().max(longest[one.period]);
        }
        let before = |period: usize| longest[..period].iter().sum::<usize>();
        let count = before(longest.len());
        for (one, asked) in &wanted {
            let of_init = one.init.iter().map(|init| &init.url);
            of_init.into_iter().try_for_each(|url| objects.add(url, Some(0), asked.hits(before(one.period), count)))?;
        }
        for (one, asked) in &wanted {
            let first = before(one.period);
            for (at, segment) in one.segments.iter().enumerate() {
                let Some(resource) = one.resource(at) else { continue };
                let bytes = asked.bytes(one.bandwidth, segment.duration_ms);
                objects.add(&resource.url, bytes, asked.hits(first + at, count))?;
            }
        }
        // Of these only the file is known.
        wanted
            .iter()
            .filter_map(|(one, asked)| one.index.as_ref().map(|index| (index, asked)))
            .try_for_each(|(index, asked)| objects.add(&index.url, None, asked.watched.requests))
    }

    /// The files of the playlists asked for. One that cannot be had or read is a failure of the job, not its end.
    async fn playlists(&mut self, list: &Multivariant, objects: &mut Objects) -> Result<(), String> {
        self.has_all(&list.renditions.iter().map(|one| one.id.as_str()).collect())?;
        let (mut read, mut found) = (HashSet::new(), Vec::new());
        for rendition in &list.renditions {
            let Rendition { id, url, .. } = rendition;
            if !self.wants(id) || !read.insert(url) {
                continue;
            }
            self.window().await;
            let body = self.read(url).await.map_err(|miss| miss.error);
            let media = body.and_then(|body| list.media(&body, url).map_err(|error| error.to_string()));
            match media {
                Ok(media) => found.push((rendition, media)),
                Err(error) => self.leave_out(url, format!("the playlist of {id:?}: {error}")),
            }
        }
        // Players choose among variants; what goes beside them is each by itself.
        let set = |(place, (one, _)): (usize, &(&Rendition, Media))| {
            if one.role == Role::Variant { (0, 0) } else { (1, place) }
        };
        let asked: Vec<Asked<'_>> = found.iter().map(|(_, media)| self.asked_of(media)).collect();
        let watched = found.iter().enumerate().map(set).zip(asked.iter().map(|asked| asked.watched.requests)).collect();
        let seen = choice::seen(watched, self.job.plan.share);
        let kept = found.iter().zip(&asked).zip(seen).filter_map(|(one, seen)| seen.then_some(one));
        kept.into_iter().try_for_each(|((one, media), asked)| objects.files(media, one.bandwidth, asked))
    }

    /// What is asked of the representation that a segment is part of.
    fn asked(&self, segment: &Url) -> Asked<'_> {
        let estimate = self.job.plan.popularity.as_deref();
        let watched = estimate.and_then(|estimate| {
            let (host, path) = crate::purge::host_and_path(segment.as_str())?;
            Some(estimate.watched(&host, &path).unwrap_or_else(|| estimate.object(&host, &path)))
        });
        Asked { estimate, watched: watched.unwrap_or_default() }
    }

    fn asked_of(&self, media: &Media) -> Asked<'_> {
        let segment = media.files.iter().find(|file| file.number.is_some());
        segment.map_or_else(Asked::default, |file| self.asked(&file.resource.url))
    }

    /// What is asked of an object by itself.
    fn object(&self, url: &Url) -> Watched {
        let estimate = self.job.plan.popularity.as_deref();
        let asked = estimate.zip(crate::purge::host_and_path(url.as_str()));
        asked.map_or_else(Watched::default, |(estimate, (host, path))| estimate.object(&host, &path))
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
        // A list of titles is no part of one.
        if is_title(url) {
            self.stored.has(self.node, url, self.key(url)?);
        }
        Ok(body)
    }
}
