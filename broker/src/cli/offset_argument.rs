use crate::client::OffsetSpec;
use crate::model::{Offset, Timestamp};

/// Where reading begins or a group is moved to, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffsetArgument {
    /// `start`, `earliest`, `beginning`, or `end`, `latest`; or `@TIME`
    Find(OffsetSpec),
    /// `47`
    At(Offset),
    /// `+2`: behind the first
    FromStart(i64),
    /// `-3`: before the end
    BeforeEnd(i64),
}

impl OffsetArgument {
    /// Reads `start`, `end`, `47`, `+2`, `-3`, `@TIME`. A time is milliseconds since 1970, `now`, a distance from now
    /// such as `-1h`, or `2026-11-20T10:00Z`.
    pub(super) fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        match text {
            "start" | "earliest" | "beginning" => return Ok(Self::Find(OffsetSpec::Earliest)),
            "end" | "latest" => return Ok(Self::Find(OffsetSpec::Latest)),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return parse_time(time, now).map(|time| Self::Find(OffsetSpec::At(time)));
        }
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let parsed = if let Some(count) = text.strip_prefix('+') {
            number(count).map(Self::FromStart)
        } else if let Some(count) = text.strip_prefix('-') {
            number(count).map(Self::BeforeEnd)
        } else {
            number(text).map(|offset| Self::At(Offset::new(offset)))
        };
        parsed.ok_or_else(|| format!("{text:?} is none of start, end, N, +N, -N, @TIME"))
    }

    /// The place that the leader must name first.
    pub(super) const fn base(self) -> Option<OffsetSpec> {
        match self {
            Self::Find(spec) => Some(spec),
            Self::At(_) => None,
            Self::FromStart(_) => Some(OffsetSpec::Earliest),
            Self::BeforeEnd(_) => Some(OffsetSpec::Latest),
        }
    }

    /// The offset itself, between the partition's ends. `base` is what the leader has named.
    pub(super) fn resolve(self, base: Option<Offset>, start: Offset, end: Offset) -> Offset {
        let offset = match self {
            // No record at or after the time: the end.
            Self::Find(_) => base.unwrap_or(end),
            Self::At(offset) => offset,
            Self::FromStart(count) => start.plus(count),
            Self::BeforeEnd(count) => end.plus(count.saturating_neg()),
        };
        offset.clamp(start, end.max(start))
    }
}

fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(distance) = text.strip_prefix('-') {
        return match millis_of(distance) {
            Some(millis) => Ok(now.plus_millis(-millis)),
            None => Err(format!("{text:?} is no distance such as -90s, -15m, -1h, -7d")),
        };
    }
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(Timestamp(millis));
    }
    parse_date(text).ok_or_else(|| {
        format!("{text:?} is no time: write milliseconds since 1970, -1h, now or 2026-11-20T10:00Z")
    })
}

/// `90s`, `15m`, `1h`, `7d`, `250ms`.
fn millis_of(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(factor)
}

/// `2026-11-20`, `2026-11-20T10:00Z`, `2026-11-20T10:00:30.5Z`, or with a zone such as `+01:00`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00Z"),
    };
    let mut parts = date.splitn(3, '-');
    let year: i64 = digits(parts.next()?, 4)?;
    let month: i64 = digits(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day: i64 = digits(parts.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let (clock, zone_minutes) = split_zone(time)?;
    let mut parts = clock.splitn(3, ':');
    let hour: i64 = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute: i64 = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let (second, millis) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let padded = format!("{fraction:0<3}");
            (
                digits(second, 2).filter(|second| *second < 60)?,
                padded.get(..3)?.parse::<i64>().ok()?,
            )
        }
    };
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - zone_minutes;
    Some(Timestamp((minutes * 60 + second) * 1000 + millis))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// The clock, and the zone's distance from UTC in minutes. Without a zone it is UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(sign) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (clock, zone) = time.split_at_checked(sign)?;
    let factor = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some((clock, factor * (digits(hours, 2)? * 60 + digits(minutes, 2)?)))
}

/// Days of the Gregorian calendar, with years that begin in March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn offsets_are_read_as_people_write_them() {
        let check = |text: &str, expected| {
            assert_eq!(OffsetArgument::parse(text, NOW), Ok(expected), "{text}");
        };
        check("start", OffsetArgument::Find(OffsetSpec::Earliest));
        check("end", OffsetArgument::Find(OffsetSpec::Latest));
        check("47", OffsetArgument::At(Offset::new(47)));
        check("+2", OffsetArgument::FromStart(2));
        check("-3", OffsetArgument::BeforeEnd(3));
        let time = |millis| OffsetArgument::Find(OffsetSpec::At(Timestamp(millis)));
        check("@1700000000000", time(1_700_000_000_000));
        check("@now", time(NOW.0));
        check("@-1h", time(NOW.0 - 3_600_000));
        check("@-250ms", time(NOW.0 - 250));
        check("@2026-11-20T10:00Z", time(1_795_168_800_000));
        check("@2026-11-20T11:00+01:00", time(1_795_168_800_000));
        check("@2026-11-20T10:00:30.25Z", time(1_795_168_830_250));
        check("@1970-01-01", time(0));
        check("@2000-02-29", time(951_782_400_000));
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        for text in [
            "",
            "x",
            "--3",
            "@",
            "@yesterday",
            "@-1y",
            "@2026-13-01",
            "@2026-11-20T25:00Z",
            "1.5",
            "+-1",
        ] {
            assert!(OffsetArgument::parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn places_stay_between_the_ends() {
        let (start, end) = (Offset::new(10), Offset::new(20));
        let check = |argument: OffsetArgument, base: Option<i64>, expected: i64| {
            let resolved = argument.resolve(base.map(Offset::new), start, end);
            assert_eq!(resolved, Offset::new(expected), "{argument:?}");
        };
        check(OffsetArgument::FromStart(2), Some(10), 12);
        check(OffsetArgument::FromStart(200), Some(10), 20);
        check(OffsetArgument::BeforeEnd(3), Some(20), 17);
        check(OffsetArgument::BeforeEnd(300), Some(20), 10);
        check(OffsetArgument::At(Offset::new(5)), None, 10);
        check(OffsetArgument::Find(OffsetSpec::At(NOW)), None, 20);
        check(OffsetArgument::Find(OffsetSpec::At(NOW)), Some(15), 15);
    }
}
