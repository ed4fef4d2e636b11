//! The keys of CMCD, each with its unit and the header field it travels in.

use super::Value;

/// What the number, or the text, of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// kbit/s.
    KbitPerS,
    /// Milliseconds.
    Ms,
    /// A number of things, or a code.
    Count,
    /// A decimal number.
    Ratio,
    /// A yes or no.
    Flag,
    /// One of a closed set of words.
    Token,
    /// A string.
    Text,
}

/// The header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `CMCD-Object`: differs from object to object.
    Object,
    /// `CMCD-Request`: differs from request to request.
    Request,
    /// `CMCD-Session`: is the same for a session.
    Session,
    /// `CMCD-Status`: differs now and then.
    Status,
}

impl Field {
    /// Its name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "cmcd-object",
            Self::Request => "cmcd-request",
            Self::Session => "cmcd-session",
            Self::Status => "cmcd-status",
        }
    }
}

/// A name of at most eight bytes as one number, so that looking it up is a search among numbers.
const fn packed(name: &[u8]) -> u64 {
    let (mut packed, mut at) = (0, 0);
    while at < name.len() {
        packed = packed << 8 | name[at] as u64;
        at += 1;
    }
    packed
}

/// Where each name is found, without a branch that depends on it: every name has a place of its own.
struct Places {
    /// Chosen so that no two names have the same place.
    factor: u64,
    /// Key by place; 255 where there is none.
    keys: [u8; PLACES_COUNT],
}

const PLACES_COUNT: usize = 1024;

static PLACES: Places = places();

const fn place(name: u64, factor: u64) -> usize {
    (name.wrapping_mul(factor) >> (u64::BITS - PLACES_COUNT.ilog2())) as usize
}

/// Tries one odd factor after the other; the compiler does, once.
const fn places() -> Places {
    let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        let (mut keys, mut at) = ([u8::MAX; PLACES_COUNT], 0);
        while at < Key::COUNT {
            let found = place(packed(Key::ALL[at].as_str().as_bytes()), factor);
            if keys[found] != u8::MAX {
                break;
            }
            keys[found] = at as u8;
            at += 1;
        }
        if at == Key::COUNT {
            return Places { factor, keys };
        }
        factor = factor.wrapping_mul(0xd134_2543_de82_ef95) | 1;
    }
}

macro_rules! keys {
    ($($key:ident $name:literal $version:literal $unit:ident $field:ident $doc:literal,)*) => {
        /// A key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Key { $(#[doc = $doc] $key,)* }

        /// Their names, packed, in order.
        static NAMES: [u64; Key::COUNT] = [$(packed($name.as_bytes()),)*];

        impl Key {
            /// All keys.
            pub const ALL: &[Self] = &[$(Self::$key,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// By its name.
            pub fn of(name: &str) -> Option<Self> {
                let is_short = name.len() <= 8 && !name.starts_with('\0');
                is_short.then(|| Self::of_packed(packed(name.as_bytes()))).flatten()
            }

            /// By its name, [`packed`]: at most eight bytes, the first not 0.
            #[inline]
            pub(super) fn of_packed(name: u64) -> Option<Self> {
                let found = PLACES.keys[place(name, PLACES.factor)];
                (NAMES.get(usize::from(found)) == Some(&name)).then(|| Self::ALL[usize::from(found)])
            }

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$key => $name,)* }
            }

            /// What its value is.
            #[inline]
            pub fn unit(self) -> Unit {
                match self { $(Self::$key => Unit::$unit,)* }
            }

            /// The field it travels in.
            pub fn field(self) -> Field {
                match self { $(Self::$key => Field::$field,)* }
            }

            /// The version that brought it.
            pub fn since(self) -> u8 {
                match self { $(Self::$key => $version,)* }
            }
        }
    };
}

keys! {
    Br "br" 1 KbitPerS Object "Rate the object is encoded at.",
    D "d" 1 Ms Object "How long the object plays.",
    Ot "ot" 1 Token Object "What the object is: `m` manifest, `a` audio, `v` video, `av` both, `i` initialisation, `c` captions, `tt`, `k` key, `o`.",
    Tb "tb" 1 KbitPerS Object "Highest rate the manifest has.",
    Bl "bl" 1 Ms Request "How much is buffered.",
    Dl "dl" 1 Ms Request "Until when the first byte is needed, from now.",
    Mtp "mtp" 1 KbitPerS Request "Throughput the player measured.",
    Nor "nor" 1 Text Request "What will be asked for next.",
    Nrr "nrr" 1 Text Request "Which bytes of it.",
    Su "su" 1 Flag Request "The object is needed urgently: at start, after seeking, after a stall.",
    Cid "cid" 1 Text Session "What is played.",
    Pr "pr" 1 Ratio Session "How fast: 1 is real time, 0 is not at all.",
    Sf "sf" 1 Token Session "How it is streamed: `d` DASH, `h` HLS, `s` Smooth, `o`.",
    Sid "sid" 1 Text Session "The session.",
    St "st" 1 Token Session "`v` on demand, `l` live, `ll` live at low latency.",
    V "v" 1 Count Session "Version of CMCD; 1 when absent.",
    Bs "bs" 1 Flag Status "The buffer ran empty since the last request.",
    Rtp "rtp" 1 KbitPerS Status "Throughput that suffices.",
    Ab "ab" 2 KbitPerS Object "Rate of all object types together.",
    Lb "lb" 2 KbitPerS Object "Lowest rate the manifest has.",
    Lab "lab" 2 KbitPerS Object "Lowest rate of all types together.",
    Tab "tab" 2 KbitPerS Object "Highest rate of all types together.",
    Tpb "tpb" 2 KbitPerS Object "Highest rate the player can play.",
    Pb "pb" 2 KbitPerS Request "Rate of what is shown.",
    Ltc "ltc" 2 Ms Request "Behind live.",
    Pt "pt" 2 Ms Request "Media time that is shown.",
    Sn "sn" 2 Count Request "Number of the report.",
    Sta "sta" 2 Token Request "What the player does: `s` starting, `p` playing, `k` seeking, `r` rebuffering, `a` paused, `w` waiting, `e` ended, `f` failed, `q` quit, `d` preloading.",
    Tbl "tbl" 2 Ms Request "How much it means to buffer.",
    Bg "bg" 2 Flag Status "Nobody can see it.",
    Bsa "bsa" 2 Count Status "Stalls so far.",
    Bsd "bsd" 2 Ms Status "Length of the last stall.",
    Bsda "bsda" 2 Ms Status "Length of all stalls.",
    Cdn "cdn" 2 Text Status "The CDN it takes to be in use.",
    Cs "cs" 2 Text Session "Signature of the content.",
    Df "df" 2 Count Status "Frames dropped.",
    Dfa "dfa" 2 Count Status "Frames dropped so far.",
    Ec "ec" 2 Text Status "Error codes.",
    Msd "msd" 2 Ms Session "From play to picture.",
    Nr "nr" 2 Flag Status "Nothing is rendered.",
    Ts "ts" 2 Ms Request "When it was, since 1970.",
    E "e" 2 Token Status "The event that is reported.",
    H "h" 2 Text Status "Host name.",
    Cen "cen" 2 Text Status "Name of a custom event.",
    Rc "rc" 2 Count Status "Status code of the response.",
    Ttfb "ttfb" 2 Ms Status "To the first byte of the response.",
    Ttfbb "ttfbb" 2 Ms Status "To the first byte of its body.",
    Ttlb "ttlb" 2 Ms Status "To the last byte.",
    Smrt "smrt" 2 Text Status "SMRT-Data received.",
    Url "url" 2 Text Status "What was asked for.",
    Cmsds "cmsds" 2 Text Status "CMSD-Static received.",
    Cmsdd "cmsdd" 2 Text Status "CMSD-Dynamic received.",
}

impl Key {
    /// Whether it may have such a value.
    #[inline]
    pub(super) fn takes(self, value: Value<'_>) -> bool {
        match (self.unit(), value) {
            // Version 2 has lists of strings, and of numbers by object type.
            (Unit::Text | Unit::KbitPerS | Unit::Ms | Unit::Count, Value::List(_)) => true,
            (Unit::Text, Value::Text(_)) | (Unit::Flag, Value::Flag(_)) => true,
            // Some players quote words, and some leave the quotes of strings out.
            (Unit::Token | Unit::Text, Value::Token(_)) | (Unit::Token, Value::Text(_)) => true,
            (Unit::KbitPerS | Unit::Ms | Unit::Count | Unit::Ratio, Value::Integer(_) | Value::Decimal(_)) => true,
            _ => false,
        }
    }
}
