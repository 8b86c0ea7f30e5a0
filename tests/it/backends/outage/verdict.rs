//! [`Outage`]: the rules for a [`Story`], and the counts that are printed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::stage::{SOCKETS, Sent, Story, UNAVAILABLE, groups_of};

/// When something was away, and for whom.
pub(crate) struct Outage {
    pub(crate) what: &'static str,
    /// Before the blow fell; until `down` a publish may succeed or fail.
    pub(crate) struck: Instant,
    pub(crate) down: Instant,
    /// A publish so soon after it may be accepted: an engine that confirms no publish finds the
    /// loss with the next look only.
    pub(crate) notice: Duration,
    /// The longest time of a publish that fails.
    pub(crate) patience: Duration,
    /// Until then it surely was away.
    pub(crate) away: Instant,
    /// It was there again, or its successor was.
    pub(crate) back: Instant,
    /// The groups that could not receive.
    pub(crate) groups: Vec<usize>,
    /// Whether publishing to them could not succeed either.
    pub(crate) publishing: bool,
}

#[derive(Debug, Default)]
struct Counts {
    closed: usize,
    gaps: usize,
    gaps_twice: usize,
    gaps_elsewhere: usize,
    published: usize,
    failed: usize,
    /// Publishes that could not have arrived, and were not refused as unavailable.
    silent_publishes: Vec<String>,
    /// Publishes that failed without an outage.
    needless_failures: Vec<String>,
    longest_failure: Duration,
    heard: usize,
    twice_or_disordered: usize,
    invented: usize,
    /// Missed, and the gap hook ran after it was published.
    missed_and_told: usize,
    missed_in_silence: Vec<String>,
    /// From the end of the outage to the first that each member heard of each group.
    resumed: Vec<Duration>,
    never_resumed: usize,
}

impl Outage {
    /// How many times the hook must run.
    pub(crate) fn gaps(&self) -> usize {
        let of_one = |member| {
            groups_of(member)
                .iter()
                .filter(|group| self.hit(**group))
                .count()
        };
        (0..SOCKETS).map(of_one).sum()
    }

    /// Prints the counts, and fails if they are not as promised.
    pub(crate) fn judge(&self, story: &Story) {
        let mut counts = Counts {
            closed: story.disconnects + SOCKETS.abs_diff(story.open),
            ..Counts::default()
        };
        self.count_gaps(story, &mut counts);
        self.count_publishes(story, &mut counts);
        self.count_heard(story, &mut counts);
        counts.resumed.sort();
        counts.print(self);

        assert_eq!(counts.closed, 0, "closed sockets");
        assert_eq!(counts.gaps, self.gaps(), "gap hooks");
        assert_eq!(counts.gaps_twice, 0, "gap hooks that ran twice");
        assert_eq!(counts.gaps_elsewhere, 0, "gap hooks of other groups");
        assert!(counts.silent_publishes.is_empty());
        assert!(counts.needless_failures.is_empty());
        assert!(counts.longest_failure < self.patience);
        assert!(!self.publishing || counts.failed > 0, "no publish failed");
        assert_eq!(counts.twice_or_disordered, 0);
        assert_eq!(counts.invented, 0);
        assert!(counts.missed_in_silence.is_empty());
        assert_eq!(counts.never_resumed, 0, "members that heard nothing more");
        assert!(counts.resumed.last().is_some_and(|last| *last < RESUMED));
    }

    fn count_gaps(&self, story: &Story, counts: &mut Counts) {
        for ((_, group), times) in &story.gaps {
            if self.hit(*group) {
                counts.gaps += 1;
                counts.gaps_twice += times.len() - 1;
            } else {
                counts.gaps_elsewhere += times.len();
            }
        }
    }

    fn count_publishes(&self, story: &Story, counts: &mut Counts) {
        for sent in &story.sent {
            counts.published += 1;
            let hit = self.publishing && self.hit(sent.group);
            if sent.result.is_err() {
                counts.failed += 1;
                counts.longest_failure = counts.longest_failure.max(sent.ended - sent.begun);
                let before_or_after = sent.ended < self.struck || sent.begun > self.back + RESUMED;
                if before_or_after || !hit {
                    counts.needless_failures.push(self.publish(sent));
                }
            }
            let between = self.down + self.notice <= sent.begun && sent.ended <= self.away;
            let loud = sent.result.as_ref().is_err_and(|why| why == UNAVAILABLE);
            if hit && between && !loud {
                counts.silent_publishes.push(self.publish(sent));
            }
        }
    }

    fn count_heard(&self, story: &Story, counts: &mut Counts) {
        let mut sent_to: HashMap<usize, Vec<&Sent>> = HashMap::new();
        for sent in &story.sent {
            sent_to.entry(sent.group).or_default().push(sent);
        }
        for (member, heard) in story.heard.iter().enumerate() {
            if let Some(closed) = &heard.closed {
                counts.closed += 1;
                println!("socket {member}: {closed}");
            }
            counts.heard += heard.ticks.len();
            for group in groups_of(member) {
                let ticks = heard.ticks.iter().filter(|(tick, _)| tick.group == group);
                let ticks: Vec<_> = ticks.map(|(tick, at)| (tick.n, *at)).collect();
                let pairs = ticks.windows(2);
                counts.twice_or_disordered += pairs.filter(|pair| pair[0].0 >= pair[1].0).count();
                let numbers: HashSet<_> = ticks.iter().map(|(n, _)| *n).collect();
                counts.invented += numbers
                    .iter()
                    .filter(|n| **n >= sent_to[&group].len())
                    .count();
                let told = story.gaps.get(&(member, group));
                for sent in &sent_to[&group] {
                    if sent.result.is_err() || numbers.contains(&sent.n) {
                        continue;
                    }
                    if told.is_some_and(|times| times.iter().any(|told| *told >= sent.begun)) {
                        counts.missed_and_told += 1;
                    } else {
                        let what = format!("member {member}: {}", self.publish(sent));
                        counts.missed_in_silence.push(what);
                    }
                }
                if self.hit(group) {
                    match ticks.iter().find(|(_, at)| *at >= self.back) {
                        Some((_, at)) => counts.resumed.push(*at - self.back),
                        None => counts.never_resumed += 1,
                    }
                }
            }
        }
    }

    fn hit(&self, group: usize) -> bool {
        self.groups.contains(&group)
    }

    fn publish(&self, sent: &Sent) -> String {
        let at = |time: Instant| match time.checked_duration_since(self.down) {
            Some(after) => format!("{after:.3?} after"),
            None => format!("{:.3?} before", self.down - time),
        };
        let (begun, took) = (at(sent.begun), sent.ended - sent.begun);
        let (group, n, result) = (sent.group, sent.n, &sent.result);
        format!("group {group} n {n}, {begun} the outage, {took:.1?}: {result:?}")
    }
}

impl Counts {
    fn print(&self, outage: &Outage) {
        let away = outage.back - outage.down;
        println!("{}, away for {away:.2?}", outage.what);
        println!("  sockets: {SOCKETS}, closed: {}", self.closed);
        println!(
            "  gap hooks: {} of {}, twice: {}, of other groups: {}",
            self.gaps,
            outage.gaps(),
            self.gaps_twice,
            self.gaps_elsewhere
        );
        println!(
            "  published: {}, failed: {}, the slowest of these after {:.1?}, accepted in between: {}, refused without need: {}",
            self.published,
            self.failed,
            self.longest_failure,
            self.silent_publishes.len(),
            self.needless_failures.len()
        );
        println!(
            "  heard: {}, twice or out of order: {}, never sent: {}, missed and told: {}, missed in silence: {}",
            self.heard,
            self.twice_or_disordered,
            self.invented,
            self.missed_and_told,
            self.missed_in_silence.len()
        );
        let middle = self.resumed.get(self.resumed.len() / 2);
        println!(
            "  heard again after: {:.2?} in the middle, {:.2?} at the last, never: {}",
            middle.copied().unwrap_or_default(),
            self.resumed.last().copied().unwrap_or_default(),
            self.never_resumed
        );
        let lists = [
            &self.silent_publishes,
            &self.needless_failures,
            &self.missed_in_silence,
        ];
        for line in lists.into_iter().flat_map(|list| list.iter().take(10)) {
            println!("    {line}");
        }
    }
}

/// From the end of an outage to the first delivery.
const RESUMED: Duration = Duration::from_secs(2);
/// Within which a publish fails that cannot succeed, on a machine that has other work.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(500);
