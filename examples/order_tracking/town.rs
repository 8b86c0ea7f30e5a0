//! The town that the demo delivers in: a kitchen on the west shore, doors on the east shore, two
//! bridges. `pages/map.js` draws the same town; a real shop would ask a route planner instead.

use std::iter;

use serde::Serialize;

use crate::position::Position;

/// The way from the kitchen to a door.
#[derive(Debug, Serialize)]
pub(crate) struct Route {
    address: &'static str,
    points: &'static [Position],
}

impl Route {
    /// Every order has a door, the same one for ever.
    pub(crate) fn of_order(order_id: u64) -> &'static Self {
        // The remainder is smaller than the number of routes, so it fits any index type.
        &ROUTES[(order_id % ROUTES.len() as u64) as usize]
    }

    /// The position of the courier after `stride` more of the way (1 is all of it); `None` at the
    /// door.
    pub(crate) fn ahead(&self, from: Option<Position>, stride: f64) -> Option<Position> {
        let done = from.map_or(0.0, |position| self.progress(position));
        let goal = done + stride;
        (goal < 1.0).then(|| self.at(goal))
    }

    /// How much of the way lies behind the point of the route that is nearest to `position`.
    fn progress(&self, position: Position) -> f64 {
        let mut behind = 0.0;
        let mut nearest = (f64::INFINITY, 0.0);
        for (start, end) in self.legs() {
            let length = start.distance(end);
            let along = position.along(start, end);
            let off = start.towards(end, along).distance(position);
            if off < nearest.0 {
                nearest = (off, behind + along * length);
            }
            behind += length;
        }
        nearest.1 / behind
    }

    fn at(&self, progress: f64) -> Position {
        let mut left = progress
            * self
                .legs()
                .map(|(start, end)| start.distance(end))
                .sum::<f64>();
        for (start, end) in self.legs() {
            let length = start.distance(end);
            if left <= length {
                return start.towards(end, left / length);
            }
            left -= length;
        }
        self.points[self.points.len() - 1]
    }

    fn legs(&self) -> impl Iterator<Item = (Position, Position)> {
        iter::zip(self.points, &self.points[1..]).map(|(start, end)| (*start, *end))
    }
}

/// A point of the drawn map, which is 400 wide and 300 high.
const fn at(x: u32, y: u32) -> Position {
    Position {
        lat: NORTH - y as f64 * (NORTH - SOUTH) / 300.0,
        lng: WEST + x as f64 * (EAST - WEST) / 400.0,
    }
}

const NORTH: f64 = 55.034;
const SOUTH: f64 = 55.0;
const WEST: f64 = 11.0;
const EAST: f64 = 11.08;

const KITCHEN: Position = at(58, 96);
const NORTH_BRIDGE: [Position; 2] = [at(142, 118), at(238, 106)];
const SOUTH_BRIDGE: [Position; 2] = [at(109, 226), at(207, 221)];
const MARKET: Position = at(286, 96);
const ROPEWALK: Position = at(300, 150);
const CHAPEL: Position = at(282, 206);

static ROUTES: [Route; 6] = [
    Route {
        address: "3 Beacon Hill",
        points: &[
            KITCHEN,
            at(98, 104),
            NORTH_BRIDGE[0],
            NORTH_BRIDGE[1],
            MARKET,
            at(330, 70),
            at(368, 44),
        ],
    },
    Route {
        address: "12 Chapel Lane",
        points: &[
            KITCHEN,
            at(68, 150),
            at(84, 196),
            SOUTH_BRIDGE[0],
            SOUTH_BRIDGE[1],
            CHAPEL,
            at(332, 238),
            at(366, 246),
        ],
    },
    Route {
        address: "18 Saltmarsh Row",
        points: &[
            KITCHEN,
            at(98, 104),
            NORTH_BRIDGE[0],
            NORTH_BRIDGE[1],
            MARKET,
            ROPEWALK,
            at(348, 166),
            at(374, 160),
        ],
    },
    Route {
        address: "7 Ropewalk",
        points: &[
            KITCHEN,
            at(68, 150),
            at(84, 196),
            SOUTH_BRIDGE[0],
            SOUTH_BRIDGE[1],
            CHAPEL,
            ROPEWALK,
        ],
    },
    Route {
        address: "1 Pilot’s Steps",
        points: &[
            KITCHEN,
            at(98, 104),
            NORTH_BRIDGE[0],
            NORTH_BRIDGE[1],
            MARKET,
            at(280, 54),
            at(297, 30),
        ],
    },
    Route {
        address: "25 Heron Quay",
        points: &[
            KITCHEN,
            at(68, 150),
            at(84, 196),
            SOUTH_BRIDGE[0],
            SOUTH_BRIDGE[1],
            CHAPEL,
            at(258, 240),
            at(262, 274),
        ],
    },
];

#[cfg(test)]
mod tests {
    use crate::position::Position;

    use super::ROUTES;

    #[test]
    fn a_courier_who_goes_on_and_on_gets_to_every_door() {
        for route in &ROUTES {
            let mut position = None;
            let mut strides = 0;
            while let Some(next) = route.ahead(position, 0.1) {
                let progress = route.progress(next);
                assert!(
                    (progress - 0.1 * f64::from(strides + 1)).abs() < 1e-6,
                    "{}: {progress}",
                    route.address
                );
                position = Some(next);
                strides += 1;
            }
            assert!(
                (9..=10).contains(&strides),
                "{}: {strides} strides",
                route.address
            );
        }
    }

    #[test]
    fn a_courier_beside_the_road_is_taken_for_the_nearest_point_of_it() {
        let route = &ROUTES[0];
        let middle = route.at(0.5);
        let beside = Position {
            lat: middle.lat + 0.0005,
            ..middle
        };
        assert!((route.progress(beside) - 0.5).abs() < 0.02);
    }
}
