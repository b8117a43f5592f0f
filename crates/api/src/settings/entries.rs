//! Values of a `ConfigMap`'s data as Go reads them (knative.dev/pkg `configmap/parse.go` and Go's `strconv`). A key that is not
//! there leaves its target as it is.

use std::num::IntErrorKind;
use std::str::FromStr;

use jiff::SignedDuration;

use super::Error;
use crate::duration;
use crate::meta::StringMap;
use crate::quantity;

/// The data of one `ConfigMap`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries<'a>(pub(super) &'a StringMap);

impl<'a> Entries<'a> {
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn truth(self, key: &str, target: &mut bool) -> Result<(), Error> {
        let Some(text) = self.text(key) else {
            return Ok(());
        };
        *target = match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
            // Upstream leaves the key out here, and who reads it is glad to know.
            _ => return Err(unreadable(key, &syntax("ParseBool", text))),
        };
        Ok(())
    }

    /// A number that is one: neither infinite nor "not a number", which Go reads and no bound holds.
    pub(super) fn number(self, key: &str, target: &mut f64) -> Result<(), Error> {
        let Some(text) = self.text(key) else {
            return Ok(());
        };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => *target = value,
            _ => return Err(unreadable(key, &syntax("ParseFloat", text))),
        }
        Ok(())
    }

    /// A whole number of 32 or 64 bits.
    pub(super) fn whole<T>(self, key: &str, target: &mut T) -> Result<(), Error>
    where
        T: FromStr<Err = std::num::ParseIntError>,
    {
        let Some(text) = self.text(key) else {
            return Ok(());
        };
        *target = text.parse::<T>().map_err(|error| {
            let beyond = matches!(
                error.kind(),
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow
            );
            let why = if beyond {
                format!("strconv.ParseInt: parsing {text:?}: value out of range")
            } else {
                syntax("ParseInt", text)
            };
            unreadable(key, &why)
        })?;
        Ok(())
    }

    pub(super) fn duration(self, key: &str, target: &mut SignedDuration) -> Result<(), Error> {
        let Some(text) = self.text(key) else {
            return Ok(());
        };
        *target = duration::parse_signed(text).ok_or_else(|| {
            let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let why = if bare {
                format!("time: missing unit in duration {text:?}")
            } else {
                format!("time: invalid duration {text:?}")
            };
            unreadable(key, &why)
        })?;
        Ok(())
    }

    /// An amount of a resource, kept as it is written.
    pub(super) fn quantity(self, key: &str, target: &mut Option<String>) -> Result<(), Error> {
        let Some(text) = self.text(key) else {
            return Ok(());
        };
        if quantity::bytes(text).is_none() {
            let why = "quantities must match the regular expression \
                       '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
            return Err(unreadable(key, why));
        }
        *target = Some(text.to_owned());
        Ok(())
    }
}

fn syntax(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {text:?}: invalid syntax")
}

fn unreadable(key: &str, why: &str) -> Error {
    Error(format!("failed to parse {key:?}: {why}"))
}
