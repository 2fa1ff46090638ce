//! Times as a person reads them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::macros::format_description;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A moment, to the second, in UTC.
pub(super) fn moment(seconds_since_1970: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds_since_1970)
        .ok()
        .and_then(|time| time.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC")).ok())
        .unwrap_or_else(|| format!("{seconds_since_1970} s since 1970"))
}

pub(super) fn day(seconds_since_1970: i64) -> String {
    moment(seconds_since_1970).split(' ').next().unwrap_or_default().to_owned()
}

/// How far a moment lies from now: "in 5 min", "3 h ago".
pub(super) fn from_now(seconds_since_1970: i64) -> String {
    let distance = seconds_since_1970 - now();
    let length = roughly(Duration::from_secs(distance.unsigned_abs()));
    if distance >= 0 { format!("in {length}") } else { format!("{length} ago") }
}

/// A length in its two largest units.
pub(super) fn roughly(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..172_800 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long something took.
pub(super) fn took(length: Duration) -> String {
    let milliseconds = length.as_secs_f64() * 1_000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_moments() {
        let of = |seconds| roughly(Duration::from_secs(seconds));
        assert_eq!(
            [of(59), of(60), of(3_599), of(86_399), of(864_000)],
            ["59 s", "1 min", "59 min 59 s", "23 h 59 min", "10 days"]
        );
        assert_eq!(moment(1_795_569_041), "2026-11-25 01:10:41 UTC");
    }
}
