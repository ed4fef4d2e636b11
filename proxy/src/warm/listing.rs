//! What a warm job fetches: the objects that a manifest lists, or a playlist and those it names.
//!
//! Both are read through this node like everything else, and are warm thereby. Invariant: no more objects are listed than
//! [`OBJECTS_MAX`], whatever playlists say together.

use std::collections::HashSet;

use littoral_manifests::limits::{NAMES_BYTES_MAX, SEGMENTS_MAX};
use littoral_manifests::playlist::{Multivariant, Playlist, Rendition, is_playlist};
use littoral_manifests::{Presentation, Representation, Resource};
use url::Url;

use super::job::{Miss, REST, ROUNDS, Work};

/// Objects of one job.
const OBJECTS_MAX: usize = SEGMENTS_MAX;

/// URLs, each once: several byte ranges of one file are one object.
#[derive(Default)]
struct Objects {
    urls: Vec<Url>,
    seen: HashSet<String>,
    bytes: usize,
}

impl Objects {
    fn add(&mut self, url: &Url) -> Result<(), String> {
        if self.seen.contains(url.as_str()) {
            return Ok(());
        }
        self.bytes += url.as_str().len();
        if self.urls.len() == OBJECTS_MAX || self.bytes > NAMES_BYTES_MAX {
            return Err(format!(
                "it lists more than {OBJECTS_MAX} objects, or more than 64 MiB of names: name representations"
            ));
        }
        self.seen.insert(url.as_str().to_owned());
        self.urls.push(url.clone());
        Ok(())
    }
}

impl Work<'_> {
    /// What is to be fetched: every object of the representations asked for, once.
    pub(super) async fn list(&mut self) -> Result<Vec<Url>, String> {
        let manifest = self.job.plan.manifest.clone();
        let body = self.read(&manifest).await.map_err(|miss| format!("the manifest: {}", miss.error))?;
        let mut objects = Objects::default();
        if is_playlist(&body) {
            match Playlist::parse(&body, &manifest).map_err(|error| error.to_string())? {
                Playlist::Multivariant(list) => self.playlists(&list, &mut objects).await?,
                Playlist::Media(media) => {
                    if let Some(id) = self.job.plan.representations.first() {
                        return Err(format!("the playlist is of one representation, none is named {id:?} in it"));
                    }
                    media.files.iter().try_for_each(|file| objects.add(&file.resource.url))?;
                }
            }
        } else {
            let presentation = Presentation::parse(&body, &manifest).map_err(|error| error.to_string())?;
            let ids = presentation.representations.iter().map(|one| one.id.as_str());
            self.has_all(&ids.collect())?;
            let wanted = |one: &Representation| self.wants(&one.id);
            let listed = presentation.resources(wanted).into_iter();
            let indexed =
                presentation.representations.iter().filter(|one| wanted(one)).filter_map(|one| one.index.clone());
            listed.chain(indexed).try_for_each(|resource: Resource| objects.add(&resource.url))?;
        }
        match objects.urls.is_empty() && self.job.failed() == 0 {
            true => Err("the manifest lists no segments: nothing to warm".into()),
            false => Ok(objects.urls),
        }
    }

    /// The files of the playlists asked for. One that cannot be had or read is a failure of the job, not its end.
    async fn playlists(&mut self, list: &Multivariant, objects: &mut Objects) -> Result<(), String> {
        self.has_all(&list.renditions.iter().map(|one| one.id.as_str()).collect())?;
        let mut read = HashSet::new();
        for Rendition { id, url, .. } in &list.renditions {
            if !self.wants(id) || !read.insert(url) {
                continue;
            }
            self.window().await;
            let body = self.read(url).await.map_err(|miss| miss.error);
            let media = body.and_then(|body| list.media(&body, url).map_err(|error| error.to_string()));
            match media {
                Ok(media) => media.files.iter().try_for_each(|file| objects.add(&file.resource.url))?,
                Err(error) => {
                    self.job.progress.lock().total += 1;
                    self.job.give_up(url, format!("the playlist of {id:?}: {error}"));
                }
            }
        }
        Ok(())
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
        self.node.store.expect_demand(&self.key(url)?);
        let got = self.fetch(url, Some(&mut body)).await?;
        self.pin(url).await?;
        self.job.progress.lock().total += 1;
        self.count(&got);
        Ok(body)
    }
}
