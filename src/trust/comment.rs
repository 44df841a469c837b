//! The trusted comment that binds an artifact to a product, a version and a target.

use std::collections::BTreeMap;
use std::str::FromStr;

use semver::Version;

use super::json::MAX_INTEGER;
use super::{Refused, is_channel, is_product, is_target};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Exit;

/// What a bound comment says. Written and read as tab-separated `name:value` fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The product.
    pub product: String,
    /// The version.
    pub version: Version,
    /// The channel.
    pub channel: String,
    /// The target triple.
    pub target: String,
    /// The name of the artifact.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was signed.
    pub issued: Option<Timestamp>,
    /// When it stops being good for new installs.
    pub expires: Option<Timestamp>,
    /// Its place in the order of releases.
    pub seq: Option<u64>,
    /// The entry of the archive that is the binary.
    pub entry: Option<String>,
    /// The digest of the binary.
    pub binsha256: Option<Sha256>,
}

/// The fields of a bound comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The layout of the comment: `1`.
    Fetchd,
    /// See [`Bound::product`].
    Product,
    /// See [`Bound::version`].
    Version,
    /// See [`Bound::channel`].
    Channel,
    /// See [`Bound::target`].
    Target,
    /// See [`Bound::file`].
    File,
    /// See [`Bound::size`].
    Size,
    /// See [`Bound::issued`].
    Issued,
    /// See [`Bound::expires`].
    Expires,
    /// See [`Bound::seq`].
    Seq,
    /// See [`Bound::entry`].
    Entry,
    /// See [`Bound::binsha256`].
    Binsha256,
}

impl Field {
    /// Every field; the first seven are needed, the others are not.
    pub const ALL: [Field; 12] = [
        Field::Fetchd,
        Field::Product,
        Field::Version,
        Field::Channel,
        Field::Target,
        Field::File,
        Field::Size,
        Field::Issued,
        Field::Expires,
        Field::Seq,
        Field::Entry,
        Field::Binsha256,
    ];

    /// The name before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Fetchd => "fetchd",
            Field::Product => "product",
            Field::Version => "version",
            Field::Channel => "channel",
            Field::Target => "target",
            Field::File => "file",
            Field::Size => "size",
            Field::Issued => "issued",
            Field::Expires => "expires",
            Field::Seq => "seq",
            Field::Entry => "entry",
            Field::Binsha256 => "binsha256",
        }
    }
}

impl Bound {
    /// Reads an authentic comment.
    ///
    /// Fails with `comment.unbound` if it was not made to bind anything, `comment.unsupported` for a
    /// layout other than 1, and `comment.malformed`: a field twice, one missing, one that makes no
    /// sense. Fields with other names are ignored.
    pub fn parse(comment: &str) -> Result<Bound, Refused> {
        let mut fields: BTreeMap<Field, &str> = BTreeMap::new();
        for part in comment.split('\t') {
            let Some((name, value)) = part.split_once(':') else { continue };
            let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) else { continue };
            if fields.insert(field, value).is_some() {
                return Err(malformed(format!("`{name}` occurs twice")));
            }
        }
        match fields.get(&Field::Fetchd) {
            Some(&"1") => {}
            Some(_) => {
                let message = "the signature's comment is of a layout that is not known";
                return Err(
                    Refused::new("comment.unsupported", Exit::Trust, message).hint("update fetchd itself first")
                );
            }
            None => {
                let message = "the signature says nothing about product, version and target";
                return Err(Refused::new("comment.unbound", Exit::Trust, message).hint(
                    "sign with `fetchd sign`, or set `signature = \"plain\"` and rely on the smoke run for the version",
                ));
            }
        }
        let bound = Bound {
            product: named(&fields, Field::Product, is_product)?,
            version: parsed(&fields, Field::Version)?.ok_or_else(|| missing(Field::Version))?,
            channel: named(&fields, Field::Channel, is_channel)?,
            target: named(&fields, Field::Target, is_target)?,
            file: named(&fields, Field::File, |file| !file.is_empty())?,
            size: integer(&fields, Field::Size)?.ok_or_else(|| missing(Field::Size))?,
            issued: parsed(&fields, Field::Issued)?,
            expires: parsed(&fields, Field::Expires)?,
            seq: integer(&fields, Field::Seq)?,
            entry: fields.get(&Field::Entry).map(|&entry| entry.to_owned()),
            binsha256: parsed(&fields, Field::Binsha256)?,
        };
        if bound.size == 0 || bound.entry.as_ref().is_some_and(String::is_empty) {
            return Err(malformed("`size` or `entry` is empty".to_owned()));
        }
        Ok(bound)
    }

    /// The comment's text. [`Bound::parse`] reads it back unless a field holds a tab.
    pub fn to_comment(&self) -> String {
        let mut fields = vec![
            (Field::Fetchd, "1".to_owned()),
            (Field::Product, self.product.clone()),
            (Field::Version, self.version.to_string()),
            (Field::Channel, self.channel.clone()),
            (Field::Target, self.target.clone()),
            (Field::File, self.file.clone()),
            (Field::Size, self.size.to_string()),
        ];
        fields.extend(self.issued.map(|time| (Field::Issued, time.to_string())));
        fields.extend(self.expires.map(|time| (Field::Expires, time.to_string())));
        fields.extend(self.seq.map(|seq| (Field::Seq, seq.to_string())));
        fields.extend(self.entry.clone().map(|entry| (Field::Entry, entry)));
        fields.extend(self.binsha256.map(|digest| (Field::Binsha256, digest.to_string())));
        let fields: Vec<String> = fields.iter().map(|(field, value)| format!("{}:{value}", field.name())).collect();
        fields.join("\t")
    }
}

type Fields<'a> = BTreeMap<Field, &'a str>;

fn named(fields: &Fields<'_>, field: Field, good: impl Fn(&str) -> bool) -> Result<String, Refused> {
    let value = *fields.get(&field).ok_or_else(|| missing(field))?;
    if good(value) { Ok(value.to_owned()) } else { Err(senseless(field)) }
}

fn parsed<T: FromStr>(fields: &Fields<'_>, field: Field) -> Result<Option<T>, Refused> {
    fields.get(&field).map(|value| value.parse().map_err(|_| senseless(field))).transpose()
}

fn integer(fields: &Fields<'_>, field: Field) -> Result<Option<u64>, Refused> {
    let Some(value) = fields.get(&field) else { return Ok(None) };
    // The standard parser takes a sign.
    if !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(senseless(field));
    }
    match value.parse() {
        Ok(number) if number <= MAX_INTEGER => Ok(Some(number)),
        _ => Err(senseless(field)),
    }
}

fn missing(field: Field) -> Refused {
    malformed(format!("`{}` is missing", field.name()))
}

fn senseless(field: Field) -> Refused {
    malformed(format!("`{}` makes no sense", field.name()))
}

fn malformed(why: String) -> Refused {
    Refused::new("comment.malformed", Exit::Trust, format!("the signature's comment binds nothing: {why}"))
}

#[cfg(test)]
#[path = "comment_tests.rs"]
mod tests;
