//! A new plugin: a project that builds and passes its tests at once, wherever it lies.
//!
//! All that it needs of this repository is written into it: the contract, and for Rust the SDK. So a stranger needs the program, a compiler
//! and the public registries. What is written is in `templates/`: files common to a language, then those of the world.

use std::path::{Component, Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::contract::WIT;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/src");
/// Of which versions what the SDK depends on is.
static WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// Bytes of a plugin's name.
const NAME_BYTES_MAX: usize = 64;

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Which cluster.
    RoutingPolicy,
    /// Which representation.
    RatePolicy,
    /// What to keep.
    CachePolicy,
    /// What to keep, with state of its own.
    CacheExactPolicy,
    /// Requests and responses.
    HttpFilter,
    /// Connections.
    StreamService,
    /// Datagrams.
    DatagramService,
    /// All connections in one place.
    SwarmService,
}

/// What it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// C without a libc, with clang and lld.
    C,
    /// AssemblyScript, with the compiler that npm has.
    AssemblyScript,
    /// JavaScript, in an interpreter that npm has.
    JavaScript,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RoutingPolicy,
        Self::RatePolicy,
        Self::CachePolicy,
        Self::CacheExactPolicy,
        Self::HttpFilter,
        Self::StreamService,
        Self::DatagramService,
        Self::SwarmService,
    ];

    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoutingPolicy => "routing-policy",
            Self::RatePolicy => "rate-policy",
            Self::CachePolicy => "cache-policy",
            Self::CacheExactPolicy => "cache-exact-policy",
            Self::HttpFilter => "http-filter",
            Self::StreamService => "stream-service",
            Self::DatagramService => "datagram-service",
            Self::SwarmService => "swarm-service",
        }
    }

    /// What a config says to have it called.
    fn seat(self, name: &str) -> String {
        match self {
            Self::RoutingPolicy => format!("[policy]\nroute = \"{name}\""),
            Self::RatePolicy => format!("[policy]\nrate = \"{name}\""),
            Self::CachePolicy | Self::CacheExactPolicy => format!("[policy]\nevict = \"{name}\""),
            Self::HttpFilter => format!(
                "[[site]]\nhosts = [\"www.example\"]\norigin = [\"http://origin.example\"]\nfilters = [\"{name}\"]"
            ),
            Self::StreamService => format!("[[listen.service]]\nbind = \"127.0.0.1:2525\"\nplugin = \"{name}\""),
            Self::DatagramService => format!("[[listen.datagram]]\nbind = \"127.0.0.1:2525\"\nplugin = \"{name}\""),
            Self::SwarmService => format!("[[listen.swarm]]\nbind = \"127.0.0.1:6881\"\nplugin = \"{name}\""),
        }
    }
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::C, Self::AssemblyScript, Self::JavaScript];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::AssemblyScript => "assemblyscript",
            Self::JavaScript => "javascript",
        }
    }

    /// Whether there is a template of a world in it.
    fn speaks(self, world: World) -> bool {
        match world {
            World::SwarmService | World::CacheExactPolicy => self == Self::Rust,
            World::StreamService | World::DatagramService => matches!(self, Self::Rust | Self::JavaScript),
            _ => true,
        }
    }
}

/// Writes a project into `directory`, which is made. Returns what was written.
///
/// # Errors
/// One line: what the name may be, or what is there already.
pub fn new(name: &str, world: World, language: Language, directory: &Path) -> Result<Vec<PathBuf>, String> {
    check_name(name)?;
    let told = |error: std::io::Error| format!("{}: cannot be made: {error}", directory.display());
    if std::fs::read_dir(directory).is_ok_and(|mut there| there.next().is_some()) {
        return Err(format!("{}: there is something in it already: name another directory", directory.display()));
    }
    let mut written = Vec::new();
    if !language.speaks(world) {
        let names = |names: Vec<&str>| names.join(", ");
        let others = Language::ALL.into_iter().filter(|other| other.speaks(world)).map(Language::as_str);
        let worlds = World::ALL.into_iter().filter(|other| language.speaks(*other)).map(World::as_str);
        return Err(format!(
            "there is no template of {world} in {lang}: {world} is there in {}; in {lang} there are {}",
            names(others.collect()),
            names(worlds.collect()),
            world = world.as_str(),
            lang = language.as_str(),
        ));
    }
    for (place, text) in files(name, world, language) {
        let file = directory.join(place);
        std::fs::create_dir_all(file.parent().unwrap_or(directory)).map_err(told)?;
        std::fs::write(&file, text).map_err(told)?;
        written.push(file);
    }
    Ok(written)
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.ends_with('-')
        && !name.contains("--");
    // Names that a project cannot have beside its SDK, or that its language has for itself.
    match fits && !["littoral-plugin", "serde", "test", "core", "std", "alloc"].contains(&name) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of a plugin: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, such as \"route-by-cost\""
        )),
    }
}

/// All files of a project, by their places in it.
fn files(name: &str, world: World, language: Language) -> Vec<(PathBuf, String)> {
    let fill = |text: &str| filled(text, name, world, language);
    let common = templates(&format!("{}/common", language.as_str()));
    let own = templates(&format!("{}/{}", language.as_str(), world.as_str()));
    let mut files: Vec<_> = common.into_iter().chain(own).map(|(place, text)| (place, fill(text))).collect();
    files.extend(below(&WIT).map(|(place, text)| (Path::new("wit").join(place), text.to_owned())));
    if language == Language::Rust {
        let sdk = below(&SDK).filter(|(place, _)| place.file_name().is_some_and(|name| name != "tests.rs"));
        files.extend(sdk.map(|(place, text)| (Path::new("littoral-plugin/src").join(place), text.to_owned())));
        let manifests = templates("sdk").into_iter();
        files.extend(manifests.map(|(place, text)| (Path::new("littoral-plugin").join(place), fill(text))));
    }
    files
}

/// The templates in a directory, by the places of what becomes of them.
fn templates(directory: &str) -> Vec<(PathBuf, &'static str)> {
    let Some(found) = TEMPLATES.get_dir(directory) else { return Vec::new() };
    let place = |(file, text): (&Path, &'static str)| {
        let place = file.strip_prefix(directory).unwrap_or(file).with_extension("");
        let is_hidden = place == Path::new("gitignore");
        (if is_hidden { PathBuf::from(".gitignore") } else { place }, text)
    };
    below(found).map(place).collect()
}

/// The files in and below a directory. None of them leads out of it.
fn below<'a>(directory: &'a Dir<'static>) -> Box<dyn Iterator<Item = (&'static Path, &'static str)> + 'a> {
    let is_plain = |file: &Path| file.components().all(|part| matches!(part, Component::Normal(_)));
    let own = directory.files().filter_map(|file| Some((file.path(), file.contents_utf8()?)));
    let own = own.filter(move |(file, _)| is_plain(file));
    Box::new(own.chain(directory.dirs().flat_map(below)))
}

/// A template with its blanks filled in.
fn filled(text: &str, name: &str, world: World, language: Language) -> String {
    let test =
        format!("littoral plugin test target/plugins/{name}.wasm   # asks vectors.toml in the host that a node uses\n");
    // An interpreter takes more than what is compiled.
    let fuel = match (language, world) {
        (Language::JavaScript, World::RoutingPolicy | World::RatePolicy | World::CachePolicy) => "fuel = 2000000\n",
        _ => "",
    };
    [
        ("{{fuel}}", fuel),
        ("{{name}}", name),
        ("{{Type}}", &type_of(name)),
        ("{{world}}", world.as_str()),
        ("{{seat}}", &world.seat(name)),
        ("{{test}}", &test),
        ("{{version}}", env!("CARGO_PKG_VERSION")),
        ("{{serde}}", &version_of("serde")),
        ("{{serde_json}}", &version_of("serde_json")),
        ("{{wit-bindgen}}", &version_of("wit-bindgen")),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (blank, with)| text.replace(blank, with))
}

/// `route-by-cost` as `RouteByCost`.
fn type_of(name: &str) -> String {
    let capital = |word: &str| word.get(..1).unwrap_or("").to_ascii_uppercase() + word.get(1..).unwrap_or("");
    name.split('-').map(capital).collect()
}

/// The version that the workspace has a crate in.
fn version_of(name: &str) -> String {
    let (start, number) = (format!("{name} = "), |text: &'static str| text.split('"').nth(1));
    let line = WORKSPACE.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(number).unwrap_or("*").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_of_every_language_has_its_files_and_no_blank_is_left() {
        for (language, world) in
            Language::ALL.into_iter().flat_map(|language| World::ALL.map(|world| (language, world)))
        {
            if !language.speaks(world) {
                continue;
            }
            let files = files("my-plugin2", world, language);
            for (place, text) in &files {
                let sdk = place.starts_with("littoral-plugin/src");
                assert!(sdk || !text.contains("{{"), "{}: {text}", place.display());
            }
            let has = |place: &str| files.iter().any(|(file, _)| file == Path::new(place));
            assert!(has("wit/policy.wit") && has("README.md") && has(".gitignore"), "{language:?} {world:?}");
            assert!(has("vectors.toml"), "{language:?} {world:?}");
        }
    }

    #[test]
    fn the_sdk_that_is_written_depends_on_what_ours_does() {
        let ours = include_str!("../../../sdk/Cargo.toml");
        let written = filled(templates("sdk")[0].1, "x", World::HttpFilter, Language::Rust);
        let section = |text: &'_ str| -> Vec<String> {
            let of = text.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
            of.lines().filter_map(|line| line.split(['.', ' ']).next().map(str::to_owned)).collect()
        };
        assert_eq!(section(ours), section(&written));
        assert!(!written.contains("\"*\""), "{written}");
    }

    #[test]
    fn a_name_is_one_of_crates_and_files() {
        for name in ["a", "route-by-cost", "x2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a--b", "2a", "a_b", "../a", "littoral-plugin", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(type_of("route-by-cost2"), "RouteByCost2");
    }
}
