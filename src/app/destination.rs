//! Where to go in a recording, as it is typed: a time of day, a date, epoch milliseconds, a distance, a part, a
//! record.

use super::replay::{ReplayCommand, ReplayView};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What can be typed, for the hint below the line and for errors.
pub const FORMS: &str = "12:03:04, 2026-11-21T12:03:04Z, epoch ms, +90s, -5m, 37%, or #12 for record 12";

/// A time of day or an instant without its milliseconds means the whole second: this much before the first record
/// and after the last one is still at them.
const SECOND_MS: i64 = 999;

/// Reads where to go. `zone` is the time zone that times are shown in.
///
/// # Errors
///
/// One sentence: what is wrong, and what was expected.
pub fn destination(text: &str, view: &ReplayView, zone: &TimeZone) -> Result<ReplayCommand, String> {
    let text = text.trim();
    if let Some(part) = text.strip_suffix('%') {
        let percent = part.trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        let percent = percent.ok_or("a part of the recording is a number from 0% to 100%")?;
        return Ok(ReplayCommand::SeekFraction(percent / 100.0));
    }
    if let Some(record) = text.strip_prefix('#') {
        let record = record.trim().parse::<u64>().ok().filter(|record| *record <= view.records);
        let record = record.ok_or_else(|| format!("records are numbered from #1 to #{}", view.records))?;
        return Ok(ReplayCommand::SeekRecord(record));
    }
    let (first, last) = view.span().ok_or("the recording has no times: go to a record (#12) or a part of it (37%)")?;
    let now = view.now_ms().unwrap_or(first);
    if text.starts_with(['+', '-']) {
        let distance = distance_ms(text)
            .ok_or("a distance is a number with a unit, from the position on: +90s, -5m, +1h30m, -250ms")?;
        // Past an end is at the end: who goes back ten minutes wants to be early, not to be told off.
        return Ok(ReplayCommand::SeekTime(now.saturating_add(distance).clamp(first, last)));
    }
    let at = instant_ms(text, zone).or_else(|| {
        let time = text.parse::<Time>().ok().filter(|_| text.contains(':'))?;
        nearest(time, now, (first, last), zone)
    });
    let at = at.ok_or_else(|| format!("that is not a place in the recording: expected {FORMS}"))?;
    if at < first.saturating_sub(SECOND_MS) || at > last.saturating_add(SECOND_MS) {
        let range = format!("the recording goes from {} to {}", written(first, zone), written(last, zone));
        let small = text.parse::<u64>().ok().filter(|number| *number <= view.records);
        return Err(small.map_or(range.clone(), |number| format!("{range}; record {number} is #{number}")));
    }
    Ok(ReplayCommand::SeekTime(at.clamp(first, last)))
}

/// A signed distance: `+90s`, `-5m`, `+1h30m`.
fn distance_ms(text: &str) -> Option<i64> {
    let (sign, distance) = text.split_at_checked(1)?;
    let distance: SignedDuration =
        distance.trim().parse().ok().filter(|distance: &SignedDuration| !distance.is_negative())?;
    let distance = i64::try_from(distance.as_millis()).ok()?;
    Some(if sign == "-" { -distance } else { distance })
}

/// Epoch milliseconds, RFC 3339, or a date and time in the viewer's zone.
fn instant_ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let local = || {
        let local = text.parse::<DateTime>().ok().filter(|_| text.contains(':') && text.contains('-'))?;
        zone.to_timestamp(local).ok()
    };
    text.parse::<i64>().ok().or_else(|| Some(text.parse::<Timestamp>().ok().or_else(local)?.as_millisecond()))
}

/// The instant a clock showed a time, on whichever day of the recording is nearest to the position.
fn nearest(time: Time, now_ms: i64, (first, last): (i64, i64), zone: &TimeZone) -> Option<i64> {
    let day = |t_ms| Some(Timestamp::from_millisecond(t_ms).ok()?.to_zoned(zone.clone()).date());
    let today = day(now_ms)?;
    let days = [Some(today), today.yesterday().ok(), today.tomorrow().ok(), day(first), day(last)];
    let on = |date: Date| Some(zone.to_timestamp(date.to_datetime(time)).ok()?.as_millisecond());
    let within = |at: &i64| *at >= first.saturating_sub(SECOND_MS) && *at <= last.saturating_add(SECOND_MS);
    let instants = || days.into_iter().flatten().filter_map(on);
    // One outside is better than none: it is answered with the range.
    instants().filter(within).min_by_key(|at| at.abs_diff(now_ms)).or_else(|| instants().next())
}

fn written(t_ms: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(t_ms) else { return format!("{t_ms} ms since 1970") };
    timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-21 11:03:04.221 UTC.
    const FIRST_MS: i64 = 1_795_258_984_221;

    fn view(length_ms: i64) -> ReplayView {
        ReplayView {
            records: 431,
            position: 100,
            t_ms: Some(FIRST_MS + 60_000),
            first_ms: Some(FIRST_MS),
            last_ms: Some(FIRST_MS + length_ms),
            ..ReplayView::default()
        }
    }

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    fn go(text: &str) -> Result<ReplayCommand, String> {
        destination(text, &view(600_000), &zone())
    }

    fn at(offset_ms: i64) -> Result<ReplayCommand, String> {
        Ok(ReplayCommand::SeekTime(FIRST_MS + offset_ms))
    }

    #[test]
    fn times_are_read_in_every_form_people_have_them_in() {
        assert_eq!(go("12:04:00"), at(55_779), "in the viewer's zone");
        assert_eq!(go("12:04"), at(55_779));
        assert_eq!(go(" 12:04:00.500 "), at(56_279));
        assert_eq!(go("2026-11-21T11:04:00Z"), at(55_779));
        assert_eq!(go("2026-11-21T12:04:00.5+01:00"), at(56_279));
        assert_eq!(go("2026-11-21 12:04:00"), at(55_779));
        assert_eq!(go("1795258985221"), at(1_000));
        assert_eq!(go("+90s"), at(150_000));
        assert_eq!(go("-250ms"), at(59_750));
        assert_eq!(go("+1m30s"), at(150_000));
        assert_eq!(go("37%"), Ok(ReplayCommand::SeekFraction(0.37)));
        assert_eq!(go("12.5 %"), Ok(ReplayCommand::SeekFraction(0.125)));
        assert_eq!(go("#12"), Ok(ReplayCommand::SeekRecord(12)));
    }

    #[test]
    fn a_second_that_a_record_falls_in_is_in_the_recording() {
        assert_eq!(go("12:03:04"), at(0));
        assert_eq!(go("12:13:05"), at(600_000));
    }

    #[test]
    fn a_distance_past_an_end_is_at_the_end() {
        assert_eq!(go("-5m"), at(0));
        assert_eq!(go("+99h"), at(600_000));
    }

    #[test]
    fn a_time_of_day_means_the_nearest_day_that_has_it() {
        let day = 86_400_000;
        let mut week = view(7 * day);
        assert_eq!(destination("12:04:00", &week, &zone()), at(55_779));
        week.t_ms = Some(FIRST_MS + 3 * day);
        assert_eq!(destination("12:04:00", &week, &zone()), at(3 * day + 55_779));
        assert_eq!(
            destination("02:00", &week, &zone()),
            at(3 * day - 36_184_221),
            "before the position, and nearer than the night after"
        );
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_a_sentence() {
        let forms = format!("that is not a place in the recording: expected {FORMS}");
        for text in ["", "soon", "12", ":", "12:99", "2026-13-01T00:00:00Z", "👩‍💻", "12:03:04 tomorrow"] {
            let error = go(text).unwrap_err();
            let range = "the recording goes from 2026-11-21 12:03:04 to 2026-11-21 12:13:04; record 12 is #12";
            assert_eq!(error, if text == "12" { range } else { &forms }, "{text:?}");
        }
        for text in ["101%", "-1%", "%", "NaN%", "x%"] {
            assert_eq!(go(text).unwrap_err(), "a part of the recording is a number from 0% to 100%");
        }
        for text in ["#", "#432", "#-1", "#x"] {
            assert_eq!(go(text).unwrap_err(), "records are numbered from #1 to #431");
        }
        for text in ["+", "-", "+5", "+90 parsecs", "--5m", "+-5m"] {
            assert!(go(text).unwrap_err().starts_with("a distance is a number with a unit"), "{text}");
        }
        for text in ["11:00:00", "2027-01-01T00:00:00Z", "0", "1795258984221000"] {
            assert!(go(text).unwrap_err().starts_with("the recording goes from 2026-11-21 12:03:04 to"), "{text}");
        }
        let timeless = ReplayView { records: 3, ..ReplayView::default() };
        assert!(destination("+5s", &timeless, &zone()).unwrap_err().contains("has no times"));
        assert_eq!(destination("#3", &timeless, &zone()), Ok(ReplayCommand::SeekRecord(3)));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_leads_into_the_recording_or_to_a_sentence(
            text in "\\PC{0,20}|[+-]?[0-9]{0,20}(ms|s|m|h|d|%)?|[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?",
            first in any::<i64>(), length in 0i64..i64::MAX, now in any::<Option<i64>>(),
        ) {
            let last = first.saturating_add(length);
            let view = ReplayView { first_ms: Some(first), last_ms: Some(last), t_ms: now, records: 9, ..ReplayView::default() };
            match destination(&text, &view, &zone()) {
                Ok(ReplayCommand::SeekTime(at)) => prop_assert!((first..=last).contains(&at)),
                Ok(ReplayCommand::SeekFraction(part)) => prop_assert!((0.0..=1.0).contains(&part)),
                Ok(ReplayCommand::SeekRecord(record)) => prop_assert!(record <= 9),
                Ok(other) => prop_assert!(false, "{:?}", other),
                Err(sentence) => prop_assert!(!sentence.is_empty()),
            }
        }
    }
}
