//! Period, AdaptationSet and Representation.

use super::{Element, Source, attributes, duration_ms, number, pair, push};
use crate::limits::{REPRESENTATIONS_MAX, ROLES_MAX};
use crate::presentation::raw::{Common, Period, Representation, Set};
use crate::presentation::{ManifestError, TRICK_SCHEMES};

/// What a remote element refers to when there is to be none (§5.5.3).
const RESOLVE_TO_ZERO: &str = "urn:mpeg:dash:resolve-to-zero:2013";
impl Source<'_> {
    pub(super) fn period(&mut self, element: &Element<'_>) -> Result<Period, ManifestError> {
        let mut period = Period::default();
        let mut is_void = false;
        attributes(element, |name, value| {
            match name {
                "id" => period.id = Some(value.into_owned()),
                "start" => period.start_ms = Some(duration_ms(&value)?),
                "duration" => period.duration_ms = Some(duration_ms(&value)?),
                _ => is_void |= is_void_link(name, &value)?,
            }
            Ok(())
        })?;
        while let Some(child) = self.child(element)? {
            match self.name(&child) {
                "AdaptationSet" if !is_void => {
                    self.count_set()?;
                    let set = self.set(&child)?;
                    period.sets.push(set);
                }
                "BaseURL" => self.base(&child, &mut period.bases)?,
                _ => self.addressing(&child, &mut period.addressing)?,
            }
        }
        Ok(period)
    }

    /// An adaptation set. One that is to be taken for absent keeps its place, without representations.
    fn set(&mut self, element: &Element<'_>) -> Result<Set, ManifestError> {
        let mut set = Set::default();
        let mut is_void = false;
        attributes(element, |name, value| {
            is_void |= is_void_link(name, &value)?;
            set.common.attribute(name, &value)
        })?;
        while let Some(child) = self.child(element)? {
            match self.name(&child) {
                "Representation" => {
                    self.representations += 1;
                    if self.representations > REPRESENTATIONS_MAX {
                        return Err(ManifestError::TooMany("representations"));
                    }
                    let representation = self.representation(&child)?;
                    set.representations.push(representation);
                }
                "BaseURL" => self.base(&child, &mut set.bases)?,
                "Role" => {
                    let [_, role] = pair(&child, ["schemeIdUri", "value"])?;
                    self.skip(&child)?;
                    push(&mut set.roles, role, ROLES_MAX, "roles of one adaptation set")?;
                }
                "ContentComponent" => {
                    let [content, language] = pair(&child, ["contentType", "lang"])?;
                    let given = |text: String| (!text.is_empty()).then_some(text);
                    set.common.content = set.common.content.take().or(given(content));
                    set.common.language = set.common.language.take().or(given(language));
                    self.skip(&child)?;
                }
                "EssentialProperty" | "SupplementalProperty" => self.property(&child, &mut set.common)?,
                _ => self.addressing(&child, &mut set.addressing)?,
            }
        }
        if is_void {
            set.representations.clear();
        }
        Ok(set)
    }

    fn representation(&mut self, element: &Element<'_>) -> Result<Representation, ManifestError> {
        let mut representation = Representation::default();
        attributes(element, |name, value| {
            match name {
                "id" => representation.id = value.into_owned(),
                "bandwidth" => representation.bandwidth = number(name, &value)?,
                _ => representation.common.attribute(name, &value)?,
            }
            Ok(())
        })?;
        while let Some(child) = self.child(element)? {
            match self.name(&child) {
                "BaseURL" => self.base(&child, &mut representation.bases)?,
                "EssentialProperty" | "SupplementalProperty" => self.property(&child, &mut representation.common)?,
                _ => self.addressing(&child, &mut representation.addressing)?,
            }
        }
        Ok(representation)
    }

    fn property(&mut self, element: &Element<'_>, into: &mut Common) -> Result<(), ManifestError> {
        let [scheme, _] = pair(element, ["schemeIdUri", "value"])?;
        into.is_trick |= TRICK_SCHEMES.contains(&scheme.as_str());
        self.skip(element)
    }
}

impl Common {
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), ManifestError> {
        let text = || Some(value.to_owned());
        match name {
            "contentType" => self.content = text(),
            "mimeType" => self.mime = text(),
            "codecs" => self.codecs = text(),
            "lang" => self.language = text(),
            "width" => self.width = Some(number(name, value)?),
            "height" => self.height = Some(number(name, value)?),
            _ => {}
        }
        Ok(())
    }
}

/// Whether an attribute says that its element is to be taken for absent.
///
/// # Errors
/// [`ManifestError::Remote`] when it says that the element is elsewhere.
fn is_void_link(name: &str, value: &str) -> Result<bool, ManifestError> {
    match name.rsplit_once(':') {
        Some((_, "href")) if value == RESOLVE_TO_ZERO => Ok(true),
        Some((_, "href")) => Err(ManifestError::Remote),
        _ => Ok(false),
    }
}
