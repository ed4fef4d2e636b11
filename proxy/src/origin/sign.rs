//! Signing requests to an object store: AWS Signature Version 4 as S3 has it, by AWS's own crate.
//!
//! Host, time and the hash of the body are signed, and nothing that a hop might change. Bodies are sent as they come, so that
//! those of requests that have one are not signed (`UNSIGNED-PAYLOAD`). Invariants: nothing that a client sends in the names
//! of the store's own fields reaches it, and no secret is ever shown.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use pingora::http::RequestHeader;

use super::Wrong;
use crate::config::origin::Sign as Raw;
use crate::kept;

/// Bytes of a credentials file.
pub const CREDENTIALS_BYTES_MAX: u64 = 64 << 10;
/// What S3 encodes of a path: all but RFC 3986's unreserved characters and the slash.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// Fields of the store, which are the signer's alone.
const OWN_FIELDS: &str = "x-amz-";

/// Who signs, and for where.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    region: String,
}

impl fmt::Debug for Signer {
    /// Without anything secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// As the config says: from the environment, or from a file as AWS's tools have it.
    ///
    /// # Errors
    /// The key that is wrong and what to write instead.
    pub fn of(raw: &Raw) -> Result<Self, Wrong> {
        let [access, secret, token] = match (&raw.credentials, &raw.access_key_env, &raw.secret_key_env) {
            (Some(file), None, None) => of_file(file, &raw.profile).map_err(|problem| ("sign.credentials", problem))?,
            (None, Some(access), Some(secret)) => {
                let session = raw.session_token_env.as_deref().map(|name| variable("sign.session_token_env", name));
                [
                    variable("sign.access_key_env", access)?,
                    variable("sign.secret_key_env", secret)?,
                    session.transpose()?.unwrap_or_default(),
                ]
            }
            _ => {
                let fix = "give access_key_env and secret_key_env, or credentials, a file";
                return Err(("sign", format!("whose signature? {fix}")));
            }
        };
        if raw.region.is_empty() || !raw.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(("sign.region", "sign.region is a name such as \"eu-central-1\"".to_owned()));
        }
        let token = Some(token).filter(|token| !token.is_empty());
        let credentials = Credentials::new(access, secret, token, None, "littoral");
        Ok(Self { credentials, region: raw.region.clone() })
    }

    /// Signs a request to `host` as it will be sent at `now`.
    ///
    /// # Errors
    /// Why it cannot be signed.
    pub fn sign(
        &self,
        request: &mut RequestHeader,
        tls: bool,
        host: &HeaderValue,
        now: SystemTime,
    ) -> Result<(), String> {
        let own: Vec<HeaderName> =
            request.headers.keys().filter(|name| name.as_str().starts_with(OWN_FIELDS)).cloned().collect();
        for name in own.iter().chain([&AUTHORIZATION]) {
            request.remove_header(name);
        }
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder().identity(&identity).region(&self.region).name("s3").time(now);
        let params = params.settings(settings).build().map_err(|error| error.to_string())?.into();
        let host = host.to_str().map_err(|error| error.to_string())?;
        let uri = format!("{}://{host}{}", if tls { "https" } else { "http" }, canonical(request.raw_path()));
        let bodiless = matches!(request.method, http::Method::GET | http::Method::HEAD);
        let body = if bodiless { SignableBody::Bytes(&[]) } else { SignableBody::UnsignedPayload };
        let signable = SignableRequest::new(request.method.as_str(), uri, [("host", host)].into_iter(), body);
        let signed = signable.and_then(|signable| sign(signable, &params)).map_err(|error| error.to_string())?;
        for (name, value) in signed.output().headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            request.insert_header(name, value).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Path and query as the store reads them: each character of the path that S3 encodes is encoded, once.
fn canonical(target: &[u8]) -> String {
    let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let path: Vec<u8> = percent_decode(&target[..at]).collect();
    format!("{}{}", percent_encode(&path, ENCODED), String::from_utf8_lossy(&target[at..]))
}

fn variable(key: &'static str, name: &str) -> Result<String, Wrong> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| (key, format!("the environment has no {name:?}: set it, or name another")))
}

/// Key, secret and perhaps a session's token of a profile in a shared credentials file.
fn of_file(file: &Path, profile: &str) -> Result<[String; 3], String> {
    let problem = |what: String| format!("{}: {what}", file.display());
    let text = kept::text(file, CREDENTIALS_BYTES_MAX).map_err(|error| problem(format!("cannot read it: {error}")))?;
    let header = format!("[{profile}]");
    let lines = text.lines().map(str::trim).skip_while(|line| *line != header).skip(1);
    let of_profile: Vec<(&str, &str)> = lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let value = |key: &str| of_profile.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned());
    let needed = |key: &str| value(key).ok_or_else(|| problem(format!("profile {header} has no {key}: add it")));
    let [access, secret] = ["aws_access_key_id", "aws_secret_access_key"].map(needed);
    Ok([access?, secret?, value("aws_session_token").unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The account of AWS's published examples.
    fn signer() -> Signer {
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "example");
        Signer { credentials, region: "us-east-1".to_owned() }
    }

    /// The time of those examples: 24 May 2013, midnight.
    const THEN: Duration = Duration::from_secs(1_369_353_600);

    fn signed(path: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.insert_header(*name, *value).unwrap();
        }
        let host = HeaderValue::from_static("examplebucket.s3.amazonaws.com");
        signer().sign(&mut request, true, &host, UNIX_EPOCH + THEN).unwrap();
        request
    }

    fn signature(request: &RequestHeader) -> String {
        let field = request.headers[AUTHORIZATION].to_str().unwrap();
        assert!(field.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"), "{field}");
        field.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn signatures_are_those_of_the_published_examples_of_s3() {
        // Amazon S3 API Reference, "Signature Calculations for the Authorization Header": GET Bucket Lifecycle, List Objects.
        for (path, expected) in [
            ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ("/?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            assert_eq!(signature(&signed(path, &[])), expected, "{path}");
        }
    }

    #[test]
    fn one_object_has_one_signature_however_its_path_is_written() {
        let plain = signature(&signed("/a(1)/%C3%BC+b", &[]));
        assert_eq!(plain, signature(&signed("/a%281%29/%c3%bc%2Bb", &[])));
        assert_ne!(plain, signature(&signed("/a(1)/u+b", &[])));
    }

    #[test]
    fn what_a_client_sends_in_the_stores_name_is_taken_away() {
        let request =
            signed("/?lifecycle", &[("authorization", "Basic x"), ("x-amz-acl", "public"), ("range", "bytes=0-1")]);
        assert_eq!(signature(&request), signature(&signed("/?lifecycle", &[])));
        assert!(request.headers.get("x-amz-acl").is_none() && request.headers.get("range").is_some());
        assert!(!format!("{:?}", signer()).contains("EXAMPLE"));
    }

    #[test]
    fn a_credentials_file_is_read_as_awss_tools_read_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "[other]\naws_access_key_id = no\n[default]\naws_access_key_id = a\naws_secret_access_key=b/+=\n\n[last]\n";
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(of_file(file.path(), "default"), Ok(["a".to_owned(), "b/+=".to_owned(), String::new()]));
        assert!(
            of_file(file.path(), "other")
                .unwrap_err()
                .ends_with("profile [other] has no aws_secret_access_key: add it")
        );
        assert!(of_file(Path::new("none"), "default").unwrap_err().contains("cannot read it"));
    }
}
