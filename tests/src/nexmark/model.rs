//! Which event comes when, and what it says.

use std::fmt;

use super::strings::{filler, price, text};
use super::{BEGIN_MS, CLOSING_AFTER_MS, FIRST_ID};
use crate::random::Random;

/// Of `EVENTS_A_ROUND`, the first are persons, the next auctions, the others bids.
const EVENTS_A_ROUND: u64 = 50;
const PERSONS_A_ROUND: u64 = 1;
const AUCTIONS_A_ROUND: u64 = 3;

/// Bidders and sellers are among so many of the newest persons.
const ACTIVE_PERSONS: u64 = 1_000;
/// Bids go to so many of the newest auctions.
const OPEN_AUCTIONS: u64 = 100;
/// Bids and auctions may name persons and auctions of which the event is still to come.
const LEAD: u64 = 10;
/// Each hundredth person and auction is a hot one as long as it is the newest such.
const HOT_EACH: u64 = 100;
/// One bid in so many goes to an auction that is not hot.
const COLD_AUCTIONS: u64 = 2;
/// One bid in so many comes from a bidder that is not hot.
const COLD_BIDDERS: u64 = 4;
/// One auction in so many is of a seller that is not hot.
const COLD_SELLERS: u64 = 4;
/// One bid in so many comes through a channel that is not hot.
const COLD_CHANNELS: u64 = 2;
const CHANNELS: u64 = 10_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

const PERSON_BYTES: u64 = 200;
const AUCTION_BYTES: u64 = 500;
const BID_BYTES: u64 = 100;
/// What a number counts for in those sizes.
const NUMBER_BYTES: u64 = 8;

const FIRST_NAMES: [&str; 11] = [
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter",
];
const LAST_NAMES: [&str; 9] = [
    "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris",
];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// The topics of events, and the side input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// By their numbers.
    Persons,
    /// By their numbers.
    Auctions,
    /// By the auctions' numbers.
    Bids,
    /// What is looked up: a value for each number below [`SIDE_ROWS`](super::SIDE_ROWS).
    Side,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Persons, Self::Auctions, Self::Bids, Self::Side];
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Persons => "persons",
            Self::Auctions => "auctions",
            Self::Bids => "bids",
            Self::Side => "side",
        })
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Where it belongs.
    pub topic: Topic,
    /// Its key: the number of the person or auction.
    pub key: u64,
    /// What it says, as JSON; event time is its member `at`.
    pub value: String,
}

impl Event {
    /// As a line of a file: key, tab, value.
    pub fn line(&self) -> String {
        format!("{}\t{}\n", self.key, self.value)
    }
}

/// The events of one seed.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    seed: u64,
}

impl Model {
    /// That of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// When event `number` happened.
    pub const fn time(number: u64) -> u64 {
        BEGIN_MS + number
    }

    /// Numbers for what is called `matter` of event `number`, the same each time.
    pub(super) fn random(&self, matter: u64, number: u64) -> Random {
        let mut seeds = Random::new(self.seed ^ (matter << 56) ^ number);
        Random::new(seeds.next())
    }

    /// Event `number`, counted from 0.
    pub fn event(&self, number: u64) -> Event {
        let mut random = self.random(0, number);
        match number % EVENTS_A_ROUND {
            place if place < PERSONS_A_ROUND => Self::person(number, &mut random),
            place if place < PERSONS_A_ROUND + AUCTIONS_A_ROUND => Self::auction(number, &mut random),
            _ => self.bid(number, &mut random),
        }
    }

    fn person(number: u64, random: &mut Random) -> Event {
        let id = FIRST_ID + newest_person(number);
        let name = format!("{} {}", one_of(&FIRST_NAMES, random), one_of(&LAST_NAMES, random));
        let email = format!("{}@{}.com", text(random, 7, '_'), text(random, 5, '_'));
        let digits: Vec<String> = (0..4).map(|_| format!("{:04}", random.below(10_000))).collect();
        let (card, city, state) = (digits.join(" "), one_of(&CITIES, random), one_of(&STATES, random));
        let texts = name.len() + email.len() + card.len() + city.len() + state.len();
        let extra = filler(random, NUMBER_BYTES + texts as u64, PERSON_BYTES);
        let at = Self::time(number);
        Event {
            topic: Topic::Persons,
            key: id,
            value: format!(
                r#"{{"id":{id},"name":"{name}","email":"{email}","card":"{card}","city":"{city}","state":"{state}","at":{at},"extra":"{extra}"}}"#
            ),
        }
    }

    fn auction(number: u64, random: &mut Random) -> Event {
        let id = FIRST_ID + newest_auction(number).expect("this event is an auction");
        let seller = match random.below(COLD_SELLERS) {
            0 => active_person(number, random),
            _ => newest_person(number) / HOT_EACH * HOT_EACH,
        } + FIRST_ID;
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let initial_bid = price(random);
        let at = Self::time(number);
        // As long as it takes on average until it is none of the newest.
        let horizon_ms = OPEN_AUCTIONS * EVENTS_A_ROUND / AUCTIONS_A_ROUND;
        let expires = at + 1 + random.below(horizon_ms * 2);
        let (item, description) = (text(random, 20, ' '), text(random, 100, ' '));
        let reserve = initial_bid + price(random);
        let size = 7 * NUMBER_BYTES + (item.len() + description.len()) as u64;
        let extra = filler(random, size, AUCTION_BYTES);
        Event {
            topic: Topic::Auctions,
            key: id,
            value: format!(
                r#"{{"id":{id},"item":"{item}","description":"{description}","initial_bid":{initial_bid},"reserve":{reserve},"at":{at},"expires":{expires},"seller":{seller},"category":{category},"extra":"{extra}"}}"#
            ),
        }
    }

    fn bid(&self, number: u64, random: &mut Random) -> Event {
        let newest = newest_auction(number).expect("the first auction comes before the first bid");
        let auction = match random.below(COLD_AUCTIONS) {
            0 => {
                let oldest = newest.saturating_sub(OPEN_AUCTIONS);
                oldest + random.below(newest - oldest + 1 + LEAD)
            }
            _ => newest / HOT_EACH * HOT_EACH,
        } + FIRST_ID;
        let bidder = match random.below(COLD_BIDDERS) {
            0 => active_person(number, random),
            _ => newest_person(number) / HOT_EACH * HOT_EACH + 1,
        } + FIRST_ID;
        let price = price(random);
        let (channel, url) = match random.below(COLD_CHANNELS) {
            0 => self.channel(random.below(CHANNELS)),
            _ => self.hot_channel(random.below(HOT_CHANNELS.len() as u64)),
        };
        let extra = filler(random, 4 * NUMBER_BYTES, BID_BYTES);
        let at = Self::time(number);
        Event {
            topic: Topic::Bids,
            key: auction,
            value: format!(
                r#"{{"auction":{auction},"bidder":{bidder},"price":{price},"channel":"{channel}","url":"{url}","at":{at},"extra":"{extra}"}}"#
            ),
        }
    }

    /// A channel and its address, which nine in ten channels sign.
    fn channel(&self, channel: u64) -> (String, String) {
        let mut random = self.random(1, channel);
        let mut url = address(&mut random);
        if random.below(10) > 0 {
            url.push_str(&format!("&channel_id={channel}"));
        }
        (format!("channel-{channel}"), url)
    }

    fn hot_channel(&self, channel: u64) -> (String, String) {
        let url = address(&mut self.random(2, channel));
        (HOT_CHANNELS[channel as usize].to_owned(), url)
    }

    /// A row of the side input.
    pub fn side(&self, key: u64) -> Event {
        let value = text(&mut self.random(3, key), 20, '_');
        Event {
            topic: Topic::Side,
            key,
            value: format!(r#"{{"key":{key},"value":"{value}"}}"#),
        }
    }

    /// Number `number` of the events that close what is open at the end of `events`.
    pub fn closing(topic: Topic, number: u64, events: u64) -> Event {
        let at = Self::time(events) + CLOSING_AFTER_MS + number;
        let value = match topic {
            Topic::Persons => format!(
                r#"{{"id":{number},"name":"","email":"","card":"","city":"","state":"","at":{at},"extra":""}}"#
            ),
            Topic::Auctions => format!(
                r#"{{"id":{number},"item":"","description":"","initial_bid":0,"reserve":0,"at":{at},"expires":{at},"seller":{number},"category":0,"extra":""}}"#
            ),
            Topic::Bids | Topic::Side => format!(
                r#"{{"auction":{number},"bidder":{number},"price":0,"channel":"","url":"","at":{at},"extra":""}}"#
            ),
        };
        Event {
            topic,
            key: number,
            value,
        }
    }
}

fn one_of(words: &[&'static str], random: &mut Random) -> &'static str {
    words[random.below(words.len() as u64) as usize]
}

fn address(random: &mut Random) -> String {
    let folders: Vec<String> = (0..3).map(|_| text(random, 5, '_')).collect();
    format!("https://www.nexmark.com/{}/item.htm?query=1", folders.join("/"))
}

/// The newest person as of event `number`, counted from 0.
const fn newest_person(number: u64) -> u64 {
    number / EVENTS_A_ROUND * PERSONS_A_ROUND
}

/// The newest auction as of event `number`, counted from 0; none before the first.
fn newest_auction(number: u64) -> Option<u64> {
    let (round, place) = (number / EVENTS_A_ROUND, number % EVENTS_A_ROUND);
    let there = (place + 1).saturating_sub(PERSONS_A_ROUND).min(AUCTIONS_A_ROUND);
    (round * AUCTIONS_A_ROUND + there).checked_sub(1)
}

/// One of the newest persons, or one that is still to come.
fn active_person(number: u64, random: &mut Random) -> u64 {
    let persons = newest_person(number) + 1;
    let active = persons.min(ACTIVE_PERSONS);
    persons - active + random.below(active + LEAD)
}
