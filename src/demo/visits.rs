//! Healthy traffic: people who look around and buy, in a browser or on a phone, and business buyers.

use super::context::{Context, Part};
use super::flags::{
    CHECKOUT_BUTTON, CURRENCY_PICKER, FREE_SHIPPING_BANNER, NEW_FOOTER, SEARCH_RANKING, VOLUME_PRICING,
};
use super::measured::{
    BANNER_CLICK_ID, BANNER_SELECTOR, CLIENT_SIDE_ID, MOBILE_KEY, PRODUCT_PAGE_ID, RESULT_CLICK_ID, RESULT_SELECTOR,
};
use super::sdk::{Application, Client, Sdk, Tracked};
use super::stories::Service;
use super::{Action, ClientId, Job, REMEMBERED_PEOPLE, Shop};
use serde_json::{Value, json};
use std::sync::Arc;

const STOREFRONT: Application =
    Application { sdk: Sdk::Browser, id: "storefront", version: "4.12.0", credential: CLIENT_SIDE_ID };
const APP: Application = Application { sdk: Sdk::Android, id: "shop-app", version: "7.2.0", credential: MOBILE_KEY };
/// The release before, which spells an event its own way and passes an order's value where nobody looks.
pub(super) const OLD_APP: Application = Application { version: "6.8.0", ..APP };

const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
];
const COUNTRIES: &[&str] = &["DE", "DE", "DE", "AT", "CH", "DE", "AT", "DE", "FR", "NL"];
const PLANS: &[&str] = &["free", "free", "plus"];
const PRODUCTS: &[&str] = &["walnut-desk", "linen-lamp", "oak-stool", "wool-rug", "brass-hook", "clay-pot"];
const SEARCHES: &[&str] = &["desk", "lamp", "rug", "plant+pot", "stool"];
/// How many organizations buy here.
const ORGANIZATIONS: u64 = 90;

/// Somebody who was here and may come back.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// Logged in, or anonymous.
    pub(super) user: Part,
    /// The browser or the phone; its key is also the anonymous id that Segment sees.
    pub(super) device: Part,
    on_phone: bool,
    old_app: bool,
    browser: &'static str,
}

impl Person {
    /// User and device together.
    pub(super) fn context(&self) -> Context {
        Context::of(&[&self.user, &self.device])
    }
}

impl Shop {
    /// Somebody comes in, and the next one is awaited.
    pub(super) fn visitor_arrives(&mut self, t_ms: i64) {
        // A rush of five seconds in every twenty: shops are not metronomes.
        let pause_ms = if t_ms.rem_euclid(20_000) < 5_000 { 150 } else { 270 };
        let next_ms = t_ms + self.random.between(pause_ms / 2, pause_ms * 3 / 2);
        self.schedule(next_ms, Job::Arrival);

        let person = match self.acquaintance() {
            Some(person) if self.random.chance(18) => person,
            _ => self.newcomer(),
        };
        let id = self.next_visitor();
        let application = match (person.on_phone, person.old_app) {
            (false, _) => STOREFRONT,
            (true, false) => APP,
            (true, true) => OLD_APP,
        };
        let client = Client::new(application, person.browser, &mut self.random);
        self.open(t_ms, id, client);
        let left_ms =
            if person.on_phone { self.phone_visit(t_ms, id, &person) } else { self.browser_visit(t_ms, id, &person) };
        let closed_ms = self.sent_at(left_ms);
        self.schedule(closed_ms, Job::Close(id));
    }

    /// An id for a visitor's SDK.
    pub(super) fn next_visitor(&mut self) -> ClientId {
        self.decided += 1;
        ClientId::Visitor(self.decided)
    }

    /// Somebody who was here before; none while the shop is empty.
    pub(super) fn acquaintance(&mut self) -> Option<Person> {
        let index = usize::try_from(self.random.below(self.people.len() as u64)).ok()?;
        self.people.get(index).cloned()
    }

    /// Somebody who was never here.
    pub(super) fn newcomer(&mut self) -> Person {
        let person = self.stranger();
        if self.people.len() >= REMEMBERED_PEOPLE {
            self.people.pop_front();
        }
        self.people.push_back(person.clone());
        person
    }

    /// Somebody who was never here and is not remembered.
    pub(super) fn stranger(&mut self) -> Person {
        self.people_met += 1;
        let on_phone = self.random.chance(25);
        let anonymous = !on_phone && self.random.chance(25);
        let key = if anonymous { self.random.uuid() } else { format!("user-{}", 10_000 + self.people_met) };
        let text = |value: &str| -> Arc<str> { value.into() };
        let mut attributes = vec![("country", text(self.random.pick(COUNTRIES)))];
        if !anonymous {
            attributes.push(("plan", text(self.random.pick(PLANS))));
            attributes.push(("email", text(&format!("{key}@mail.example"))));
        }
        let user = Part { anonymous, attributes, private: &["email"], ..Part::bare("user", &key) };
        let system = if on_phone { "Android 16" } else { self.random.pick(&["Windows", "macOS", "Linux"]) };
        let device_key = self.random.uuid();
        let device = Part { attributes: vec![("os", text(system))], ..Part::bare("device", &device_key) };
        Person { user, device, on_phone, old_app: self.random.chance(22), browser: self.random.pick(BROWSERS) }
    }

    fn browser_visit(&mut self, arrived_ms: i64, id: ClientId, person: &Person) -> i64 {
        let context = person.context();
        let mut t_ms = arrived_ms;
        self.act(t_ms, id, Action::Identify(context.clone()));
        t_ms += 40;
        for flag in [NEW_FOOTER, CURRENCY_PICKER, CHECKOUT_BUTTON, FREE_SHIPPING_BANNER] {
            self.evaluate(t_ms, id, flag, &context);
        }

        let ranking = self.arm(SEARCH_RANKING, &context);
        for _ in 0..self.random.between(1, 3) {
            t_ms += self.random.between(600, 2_400);
            let search_context = Context::of(&[&person.user]);
            for page in 0..2 {
                self.evaluate(t_ms + page * 30, ClientId::Service(Service::Search), SEARCH_RANKING, &search_context);
            }
            if self.random.chance(45 + 15 * ranking) {
                let url = format!("https://shop.example/search?q={}", self.random.pick(SEARCHES));
                self.click(t_ms + 900, id, RESULT_CLICK_ID, &context, &url, RESULT_SELECTOR);
                t_ms += 1_200;
            }
        }

        let banner = self.arm(FREE_SHIPPING_BANNER, &context);
        if banner > 0 && self.random.chance(25 + 10 * banner) {
            t_ms += 700;
            self.click(t_ms, id, BANNER_CLICK_ID, &context, "https://shop.example/", BANNER_SELECTOR);
        }
        let mut url = "https://shop.example/".to_owned();
        for _ in 0..self.random.between(1, 3) {
            t_ms += self.random.between(700, 2_500);
            let product = self.random.pick(PRODUCTS);
            url = format!("https://shop.example/products/{product}?ref=list");
            let page = Action::Page { id: PRODUCT_PAGE_ID, context: context.clone(), url: url.clone(), selector: None };
            self.act(t_ms, id, page);
            if self.random.chance(40) {
                self.track(t_ms + 500, id, "delivery-estimate-opened", &context, on_page(&url));
            }
            if self.random.chance(55) {
                let data = Some(json!({ "sku": product, "quantity": 1 }));
                self.track(t_ms + 800, id, "add-to-cart", &context, Tracked { data, ..on_page(&url) });
            }
        }
        for (key, percent) in [("wishlist-add", 6), ("newsletter-signup", 9), ("support-contacted", 4)] {
            if self.random.chance(percent) {
                t_ms += 400;
                self.track(t_ms, id, key, &context, on_page(&url));
            }
        }

        t_ms += self.random.between(600, 1_800);
        self.evaluate(t_ms, id, CHECKOUT_BUTTON, &context);
        let arm = self.arm(CHECKOUT_BUTTON, &context);
        if self.random.chance(36 + 12 * arm) {
            t_ms += self.random.between(800, 2_500);
            self.track(t_ms, id, "checkout", &context, on_page("https://shop.example/checkout"));
            let order = self.order();
            let service = ClientId::Service(Service::CheckoutApi);
            let tracked = Tracked { metric_value: Some(order.value.clone()), ..Tracked::default() };
            self.track(t_ms + 120, service, "order-placed", &context, tracked);
            self.segment_order(t_ms + 150, person, &order);
        }
        t_ms + self.random.between(800, 3_000)
    }

    fn phone_visit(&mut self, arrived_ms: i64, id: ClientId, person: &Person) -> i64 {
        let context = person.context();
        let mut t_ms = arrived_ms;
        self.act(t_ms, id, Action::Identify(context.clone()));
        t_ms += 60;
        for flag in [CHECKOUT_BUTTON, FREE_SHIPPING_BANNER, CURRENCY_PICKER] {
            self.evaluate(t_ms, id, flag, &context);
        }
        for _ in 0..self.random.between(1, 3) {
            t_ms += self.random.between(700, 2_500);
            if self.random.chance(45) {
                self.track(t_ms, id, "delivery-estimate-opened", &context, Tracked::default());
            }
            if self.random.chance(60) {
                let data = Some(json!({ "sku": self.random.pick(PRODUCTS), "quantity": 1 }));
                self.track(t_ms + 300, id, "add-to-cart", &context, Tracked { data, ..Tracked::default() });
            }
        }
        let arm = self.arm(CHECKOUT_BUTTON, &context);
        if self.random.chance(38 + 10 * arm) {
            t_ms += self.random.between(900, 2_200);
            let order = self.order();
            let (key, tracked) = if person.old_app {
                ("Checkout", Tracked { data: Some(json!({ "total": order.value })), ..Tracked::default() })
            } else {
                ("checkout", Tracked { metric_value: Some(order.value), ..Tracked::default() })
            };
            self.track(t_ms, id, key, &context, Tracked::default());
            self.track(t_ms + 40, id, "order-placed", &context, tracked);
        }
        t_ms + self.random.between(500, 2_000)
    }

    /// A business buyer asks for prices, and perhaps for a quote.
    pub(super) fn business_visit(&mut self, arrived_ms: i64) {
        let number = self.random.below(ORGANIZATIONS);
        let organization = Part {
            attributes: vec![("tier", self.random.pick(&["standard", "partner"]).into())],
            ..Part::bare("organization", &format!("org-{number:04}"))
        };
        let buyer = Part::bare("user", &format!("buyer-{number:04}"));
        let context = Context::of(&[&organization, &buyer]);
        self.evaluate(arrived_ms, ClientId::Service(Service::Pricing), VOLUME_PRICING, &context);

        let arm = self.arm(VOLUME_PRICING, &context);
        let quotes = ClientId::Service(Service::Quotes);
        let organization = Context::of(&[&organization]);
        if self.random.chance(55 + 10 * arm) {
            let t_ms = arrived_ms + self.random.between(900, 4_000);
            self.track(t_ms, quotes, "quote-requested", &organization, Tracked::default());
            if self.random.chance(50) {
                let order = self.order();
                let tracked = Tracked { metric_value: Some(order.value), ..Tracked::default() };
                self.track(t_ms + 1_500, quotes, "quote-accepted", &organization, tracked);
            }
        }
    }

    /// Schedules an evaluation.
    pub(super) fn evaluate(&mut self, t_ms: i64, id: ClientId, flag: &'static str, context: &Context) {
        self.act(t_ms, id, Action::Evaluate { flag, context: context.clone() });
    }

    /// Schedules a `track()` call.
    pub(super) fn track(&mut self, t_ms: i64, id: ClientId, key: &'static str, context: &Context, tracked: Tracked) {
        self.act(t_ms, id, Action::Track { key, context: context.clone(), tracked });
    }

    fn click(
        &mut self,
        t_ms: i64,
        client: ClientId,
        id: &'static str,
        context: &Context,
        url: &str,
        selector: &'static str,
    ) {
        let (context, url) = (context.clone(), url.to_owned());
        self.act(t_ms, client, Action::Page { id, context, url, selector: Some(selector) });
    }

    /// Which variation somebody sees, as a number: what they see decides how likely they are to buy.
    fn arm(&self, flag: &'static str, context: &Context) -> u64 {
        self.flags.serve(flag, context).found.map_or(0, |(variation, _)| variation as u64)
    }

    /// An order's goods and value.
    pub(super) fn order(&mut self) -> Order {
        let cents = u32::try_from(self.random.between(900, 24_000)).unwrap_or_default();
        Order { product: self.random.pick(PRODUCTS), value: Value::from(f64::from(cents) / 100.0) }
    }
}

/// What was bought.
pub(super) struct Order {
    /// Stock-keeping unit.
    pub(super) product: &'static str,
    /// Value in the shop's currency.
    pub(super) value: Value,
}

fn on_page(url: &str) -> Tracked {
    Tracked { url: Some(url.to_owned()), ..Tracked::default() }
}
