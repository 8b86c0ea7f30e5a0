//! The median of some numbers, and how far they lie apart.

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 0 {
            (values.get(half.checked_sub(1)?)? + values.get(half)?) / 2.0
        } else {
            *values.get(half)?
        };
        Some(Self {
            least: *values.first()?,
            median,
            most: *values.last()?,
        })
    }

    pub(crate) fn range(self, show: impl Fn(f64) -> String) -> String {
        format!("{}–{}", show(self.least), show(self.most))
    }
}
