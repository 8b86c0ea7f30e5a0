//! A place on earth, and the little geometry that a town needs.

use serde::Serialize;
use thiserror::Error;

/// A place on earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Position {
    pub(crate) lat: f64,
    pub(crate) lng: f64,
}

impl Position {
    /// The place that somebody else names, if there is one.
    pub(crate) fn new(lat: f64, lng: f64) -> Result<Self, OffEarth> {
        if !(-90.0..=90.0).contains(&lat) {
            return Err(OffEarth::Lat(lat));
        }
        if !(-180.0..=180.0).contains(&lng) {
            return Err(OffEarth::Lng(lng));
        }
        Ok(Self { lat, lng })
    }

    /// In degrees of latitude. A town is small enough to be flat.
    pub(crate) fn distance(self, other: Self) -> f64 {
        let (x, y) = self.to(other);
        f64::hypot(x, y)
    }

    /// The point of the line to `end` that has `share` of it behind.
    pub(crate) fn towards(self, end: Self, share: f64) -> Self {
        Self {
            lat: self.lat + (end.lat - self.lat) * share,
            lng: self.lng + (end.lng - self.lng) * share,
        }
    }

    /// How far along the line from `start` to `end` its nearest point lies, from 0 to 1.
    pub(crate) fn along(self, start: Self, end: Self) -> f64 {
        let (x, y) = start.to(end);
        let (to_x, to_y) = start.to(self);
        ((x * to_x + y * to_y) / (x * x + y * y)).clamp(0.0, 1.0)
    }

    /// East and north, both in degrees of latitude: those of longitude are shorter, the more so the
    /// further north.
    fn to(self, other: Self) -> (f64, f64) {
        let squeeze = self.lat.to_radians().cos();
        ((other.lng - self.lng) * squeeze, other.lat - self.lat)
    }
}

/// Why there is no such place.
#[derive(Debug, Error)]
pub(crate) enum OffEarth {
    #[error("“lat” must be between -90 and 90, not {0}.")]
    Lat(f64),
    #[error("“lng” must be between -180 and 180, not {0}.")]
    Lng(f64),
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn only_places_on_earth_are_taken() {
        struct Row {
            lat: f64,
            lng: f64,
            refusal: Option<&'static str>,
        }
        let table = [
            Row {
                lat: 55.0,
                lng: 11.0,
                refusal: None,
            },
            Row {
                lat: -90.0,
                lng: 180.0,
                refusal: None,
            },
            Row {
                lat: 90.5,
                lng: 0.0,
                refusal: Some("“lat” must be between -90 and 90, not 90.5."),
            },
            Row {
                lat: 0.0,
                lng: -181.0,
                refusal: Some("“lng” must be between -180 and 180, not -181."),
            },
            Row {
                lat: f64::NAN,
                lng: 0.0,
                refusal: Some("“lat” must be between -90 and 90, not NaN."),
            },
        ];
        for row in table {
            let refusal = Position::new(row.lat, row.lng)
                .err()
                .map(|off_earth| off_earth.to_string());
            assert_eq!(refusal.as_deref(), row.refusal, "{}, {}", row.lat, row.lng);
        }
    }
}
