//! `/assets/...`: style sheet, script and sign, under names that carry the hash of their content, so that they are kept
//! for ever; compressed once. Pages are not compressed: they hold keys of forms beside what others may choose (BREACH).

use crate::http::respond;
use crate::view::page::{ASSETS, Assets};
use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::LazyLock;

const STYLE: &str = include_str!("../../../templates/assets/historia.css");
const SCRIPT: &str = include_str!("../../../templates/assets/historia.js");
const SIGN: &str = include_str!("../../../templates/assets/icon.svg");

struct Asset {
    /// `historia.<hash>.css`.
    name: String,
    media_type: &'static str,
    plain: &'static str,
    gzip: Vec<u8>,
}

static ALL: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("css", "text/css; charset=utf-8", STYLE),
        asset("js", "text/javascript; charset=utf-8", SCRIPT),
        asset("svg", "image/svg+xml", SIGN),
    ]
});

fn asset(extension: &str, media_type: &'static str, plain: &'static str) -> Asset {
    let digest = Sha256::digest(plain);
    let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail; if it did, the plain form would be served.
    let gzip = gzip.write_all(plain.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
    Asset { name: format!("historia.{hash}.{extension}"), media_type, plain, gzip }
}

/// Tells the pages the names.
pub fn name_assets() {
    let [css, js, icon] = &*ALL;
    let address = |asset: &Asset| format!("/assets/{}", asset.name);
    let _ = ASSETS.set(Assets { css: address(css), js: address(js), icon: address(icon) });
}

/// The asset of a name. Without the hash it is served too, for a short time: pages of an older version ask for it.
pub async fn serve(req: HttpRequest) -> HttpResponse {
    let name = req.match_info().query("name");
    let exact = ALL.iter().find(|asset| asset.name == name);
    let extension = name.rsplit('.').next().unwrap_or("");
    let any =
        || ALL.iter().find(|asset| name.starts_with("historia.") && asset.name.rsplit('.').next() == Some(extension));
    let (asset, cache) = match exact {
        Some(asset) => (asset, "public, max-age=31536000, immutable"),
        None => match any() {
            Some(asset) => (asset, "public, max-age=60"),
            None => return respond::error(&req, &super::absent()),
        },
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, asset.media_type))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((VARY, "Accept-Encoding"))
        .insert_header(("X-Content-Type-Options", "nosniff"));
    let accepts = req.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let gzip = accepts.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip")
            && !parts.any(|part| part.starts_with("q=0") && part.trim_matches(['q', '=', '0', '.']).is_empty())
    });
    if gzip && !asset.gzip.is_empty() {
        return response.insert_header((CONTENT_ENCODING, "gzip")).body(asset.gzip.as_slice());
    }
    response.body(asset.plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn assets_are_small_and_whole() {
        for asset in ALL.iter() {
            let mut back = String::new();
            flate2::read::GzDecoder::new(asset.gzip.as_slice()).read_to_string(&mut back).unwrap();
            assert_eq!(back, asset.plain, "{}", asset.name);
            assert!(asset.gzip.len() < 8_000, "{}: {} bytes", asset.name, asset.gzip.len());
        }
    }
}
