//! What goes wrong in the shop. Every fault is made by one application, at a realistic rate, and for the reason it
//! is made in real shops.

use super::context::{Context, Part};
use super::flags::{CHECKOUT_BUTTON, FREE_SHIPPING_BANNER, SEARCH_RANKING, TESTER_PREFIX, VOLUME_PRICING, not_ready};
use super::measured::{CLIENT_SIDE_ID, GAP_BETWEEN_ITERATIONS_MS, PREVIEW_CLIENT_SIDE_ID, RESULT_CLICK_ID, SDK_KEY};
use super::sdk::{Application, Client, Sdk, Tracked};
use super::visits::{OLD_APP, Order, Person};
use super::{ClientId, DemoRequest, HISTORY_MS, Shop};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;

/// The shop's services, each with an SDK of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// Takes orders. Its express path tracks before it evaluates, and its gift cards have a price that is text.
    CheckoutApi,
    /// Searches; its evaluation events are sampled.
    Search,
    /// Renders pages, with nothing but the user in its context.
    Rendering,
    /// Prices for business buyers; restarted now and then.
    Pricing,
    /// Quotes for business buyers.
    Quotes,
    /// Orders taken over the phone, for people who never saw the flag.
    CallCentre,
    /// Tracks a metric's key where its event key is meant.
    Loyalty,
    /// The shop's assistant, whose language model's usage is tracked too.
    Assistant,
    /// Automated tests, as individually targeted testers.
    SmokeTests,
    /// An old cart, whose copy of the flags is stale: the flag is off there.
    LegacyCart,
}

impl Service {
    const ALL: [Self; 10] = [
        Self::CheckoutApi,
        Self::Search,
        Self::Rendering,
        Self::Pricing,
        Self::Quotes,
        Self::CallCentre,
        Self::Loyalty,
        Self::Assistant,
        Self::SmokeTests,
        Self::LegacyCart,
    ];

    fn application(self) -> Application {
        let (sdk, id, version) = match self {
            Self::CheckoutApi => (Sdk::Node, "checkout-api", "31.4.2"),
            Self::Search => (Sdk::Node, "search", "12.0.1"),
            Self::Rendering => (Sdk::Node, "page-rendering", "4.12.0"),
            Self::Pricing => (Sdk::Python, "pricing", "2.8.0"),
            Self::Quotes => (Sdk::Go, "quotes", "1.19.3"),
            Self::CallCentre => (Sdk::Go, "call-centre", "0.9.7"),
            Self::Loyalty => (Sdk::Python, "loyalty", "5.1.0"),
            Self::Assistant => (Sdk::Python, "assistant", "0.3.1"),
            Self::SmokeTests => (Sdk::Node, "smoke-tests", "1.0.0"),
            Self::LegacyCart => (Sdk::Node, "legacy-cart", "2.2.9"),
        };
        Application { sdk, id, version, credential: SDK_KEY }
    }
}

/// Something that keeps happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    BusinessVisit,
    PageRendering,
    ExpressOrder,
    PhoneOrder,
    GiftCardSite,
    GiftCardOrder,
    LoyaltyPoints,
    SmokeTest,
    LegacyCart,
    PricingRestart,
    Assistant,
    Kiosk,
    PhoneBackOnline,
    Preview,
    LostAnswer,
    DroppedEvents,
}

impl Story {
    pub(super) const ALL: [Self; 16] = [
        Self::BusinessVisit,
        Self::PageRendering,
        Self::ExpressOrder,
        Self::PhoneOrder,
        Self::GiftCardSite,
        Self::GiftCardOrder,
        Self::LoyaltyPoints,
        Self::SmokeTest,
        Self::LegacyCart,
        Self::PricingRestart,
        Self::Assistant,
        Self::Kiosk,
        Self::PhoneBackOnline,
        Self::Preview,
        Self::LostAnswer,
        Self::DroppedEvents,
    ];

    /// The first time, ms after the shop opened. Those that need somebody who was here before wait for one.
    pub(super) fn first_after_ms(self) -> i64 {
        match self {
            Self::BusinessVisit => 200,
            Self::PricingRestart => HISTORY_MS - 3_500,
            Self::DroppedEvents => HISTORY_MS + 1_200,
            Self::LostAnswer => HISTORY_MS,
            _ => self.every_ms(),
        }
    }

    /// How often, ms.
    pub(super) fn every_ms(self) -> i64 {
        match self {
            Self::BusinessVisit => 1_300,
            Self::PageRendering => 900,
            Self::Assistant => 3_100,
            Self::ExpressOrder => 4_300,
            Self::PhoneOrder => 5_200,
            Self::LegacyCart => 5_700,
            Self::GiftCardSite => 6_100,
            Self::GiftCardOrder => 6_700,
            Self::LoyaltyPoints => 7_300,
            Self::Kiosk => 8_300,
            Self::Preview => 9_100,
            Self::SmokeTest => 10_300,
            Self::PhoneBackOnline => 12_700,
            Self::LostAnswer => 15_000,
            Self::PricingRestart => 45_000,
            Self::DroppedEvents => 900_000,
        }
    }
}

impl Shop {
    /// Starts the services' SDKs, their flush timers out of step with each other.
    pub(super) fn open_services(&mut self) {
        for (step, service) in (0_i64..).zip(Service::ALL) {
            let client = Client::new(service.application(), "", &mut self.random);
            // Flushed in the first burst, then each on its own beat.
            let started_ms = self.start_ms - client.application.sdk.flush_ms() + 80 * step;
            self.open(started_ms, ClientId::Service(service), client);
        }
    }

    /// Lets a story happen once.
    pub(super) fn tell(&mut self, t_ms: i64, story: Story) {
        match story {
            Story::BusinessVisit => self.business_visit(t_ms),
            Story::PageRendering => self.page_rendering(t_ms),
            Story::ExpressOrder => self.express_order(t_ms),
            Story::PhoneOrder => self.phone_order(t_ms),
            Story::GiftCardSite => self.gift_card_site(t_ms),
            Story::GiftCardOrder => self.gift_card_order(t_ms),
            Story::LoyaltyPoints => self.loyalty_points(t_ms),
            Story::SmokeTest => self.smoke_test(t_ms),
            Story::LegacyCart => self.legacy_cart(t_ms),
            Story::PricingRestart => self.pricing_restart(t_ms),
            Story::Assistant => self.assistant(t_ms),
            Story::Kiosk => self.kiosk(t_ms),
            Story::PhoneBackOnline => self.phone_back_online(t_ms),
            Story::Preview => self.preview(t_ms),
            Story::LostAnswer => self.retry_next = true,
            Story::DroppedEvents => self.dropped_events(t_ms),
        }
    }

    /// The banner's experiment is by device, and the server that renders pages knows only the user: no exposure is
    /// sent, only the summary counts the evaluation (exposure-lacks-unit).
    fn page_rendering(&mut self, t_ms: i64) {
        if let Some(person) = self.acquaintance() {
            let context = Context::of(&[&person.user]);
            self.evaluate(t_ms, ClientId::Service(Service::Rendering), FREE_SHIPPING_BANNER, &context);
        }
    }

    /// One-click reorder: `track()` is called before `variation()` (conversion-before-exposure).
    fn express_order(&mut self, t_ms: i64) {
        let context = Context::of(&[&self.stranger().user]);
        let service = ClientId::Service(Service::CheckoutApi);
        self.track(t_ms, service, "checkout", &context, Tracked::default());
        self.evaluate(t_ms + 450, service, CHECKOUT_BUTTON, &context);
    }

    /// Orders over the phone. Half of the callers are customers whose key is typed in capitals (key-near-miss), the
    /// others never saw the shop at all (no-exposure).
    fn phone_order(&mut self, t_ms: i64) {
        let customer = self.acquaintance().filter(|person| !person.user.anonymous);
        let key = match customer {
            Some(person) if self.random.chance(50) => person.user.key.to_uppercase(),
            _ => format!("phone-order-{}", self.random.between(20_000, 99_999)),
        };
        let context = Context::of(&[&Part::bare("user", &key)]);
        self.track(t_ms, ClientId::Service(Service::CallCentre), "checkout", &context, Tracked::default());
    }

    /// A small site whose script reads the user's id before it is there, and so sends `undefined`
    /// (placeholder-key).
    fn gift_card_site(&mut self, t_ms: i64) {
        let application =
            Application { sdk: Sdk::Browser, id: "gift-cards", version: "0.4.0", credential: CLIENT_SIDE_ID };
        let mut client = Client::new(application, "Mozilla/5.0 (X11; Linux x86_64)", &mut self.random);
        let context = Context::of(&[&Part::bare("user", "undefined")]);
        let served = self.flags.serve(CHECKOUT_BUTTON, &context);
        client.identify(t_ms, &context);
        client.evaluate(t_ms + 30, &context, &served, false, &mut self.random);
        let url = Some("https://cards.shop.example/".to_owned());
        client.track(t_ms + 900, "add-to-cart", &context, &Tracked { url, ..Tracked::default() });
        self.post_flush(t_ms + 2_000, &mut client);
    }

    /// Gift cards have their price as text (numeric-value-invalid).
    fn gift_card_order(&mut self, t_ms: i64) {
        if let Some(person) = self.acquaintance() {
            let tracked = Tracked { metric_value: Some(Value::from("25.00")), ..Tracked::default() };
            let service = ClientId::Service(Service::CheckoutApi);
            self.track(t_ms, service, "order-placed", &Context::of(&[&person.user]), tracked);
        }
    }

    /// Tracks the key of the metric, which is not its event key (metric-key-used).
    fn loyalty_points(&mut self, t_ms: i64) {
        if let Some(person) = self.acquaintance() {
            let context = Context::of(&[&person.user]);
            self.track(t_ms, ClientId::Service(Service::Loyalty), "signup-rate", &context, Tracked::default());
        }
    }

    /// Testers are individually targeted, so nothing they do is in the experiment (individually-targeted).
    fn smoke_test(&mut self, t_ms: i64) {
        let tester = self.random.pick(&["checkout", "basket", "returns"]);
        let context = Context::of(&[&Part::bare("user", &format!("{TESTER_PREFIX}{tester}"))]);
        let service = ClientId::Service(Service::SmokeTests);
        self.evaluate(t_ms, service, CHECKOUT_BUTTON, &context);
        self.track(t_ms + 300, service, "checkout", &context, Tracked::default());
    }

    /// The old cart has the flag switched off (flag-off).
    fn legacy_cart(&mut self, t_ms: i64) {
        if let Some(person) = self.acquaintance() {
            let context = Context::of(&[&person.user]);
            self.evaluate(t_ms, ClientId::Service(Service::LegacyCart), CHECKOUT_BUTTON, &context);
        }
    }

    /// The pricing service is restarted and answers before its SDK has any flags: the code default is served, and
    /// the summary says so (eval-error).
    fn pricing_restart(&mut self, t_ms: i64) {
        let id = ClientId::Service(Service::Pricing);
        let mut restarted = Client::new(Service::Pricing.application(), "", &mut self.random);
        let diagnostic = restarted.diagnostic(t_ms, None, &mut self.random);
        let context = Context::of(&[&Part::bare("organization", "org-0007")]);
        let served = not_ready(VOLUME_PRICING, "list-price");
        for call in 0..3 {
            restarted.evaluate(t_ms + call * 40, &context, &served, false, &mut self.random);
        }
        if let Some(mut stopped) = self.clients.insert(id, restarted) {
            self.post_flush(t_ms, &mut stopped);
        }
        self.post(t_ms + 20, diagnostic);
    }

    /// Usage of a language model, as LaunchDarkly's AI SDK tracks it: noise to an experimenter.
    fn assistant(&mut self, t_ms: i64) {
        let Some(person) = self.acquaintance() else { return };
        let context = Context::of(&[&person.user]);
        let data = json!({ "configKey": "shop-assistant", "variationKey": "short-answers", "version": 4 });
        let service = ClientId::Service(Service::Assistant);
        let total_tokens = self.random.between(200, 1_900);
        for (key, value) in [
            ("$ld:ai:duration:total", self.random.between(300, 2_400)),
            ("$ld:ai:tokens:total", total_tokens),
            ("$ld:ai:generation:success", 1),
        ] {
            let tracked =
                Tracked { data: Some(data.clone()), metric_value: Some(Value::from(value)), ..Tracked::default() };
            self.track(t_ms, service, key, &context, tracked);
        }
    }

    /// The kiosk's events are written by hand: seconds for milliseconds (timestamp-unit-suspect), an old user shape,
    /// and in every batch a line of its log (undecodable).
    fn kiosk(&mut self, t_ms: i64) {
        let kiosk = self.random.between(1, 4);
        let body = json!([
            { "kind": "custom", "key": "checkout", "userKey": format!("kiosk-{kiosk}"), "creationDate": t_ms / 1_000 },
            format!("kiosk {kiosk}: paper low"),
            { "kind": "custom", "key": "kiosk-idle", "userKey": format!("kiosk-{kiosk}"), "creationDate": t_ms },
        ]);
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", "shop-kiosk/1.3".to_owned()),
            ("X-LaunchDarkly-Event-Schema", "3".to_owned()),
        ];
        self.post_to_environment(t_ms, CLIENT_SIDE_ID, headers, &body);
    }

    /// A phone that was out of reach sends what happened in the search experiment's first iteration and after its
    /// end (after-iteration-end, before-iteration-start).
    fn phone_back_online(&mut self, t_ms: i64) {
        let opened_at_ms = self.opened_at_ms();
        let iteration_end_ms = opened_at_ms - GAP_BETWEEN_ITERATIONS_MS;
        let person = self.stranger();
        let context = person.context();
        let served = self.flags.serve(SEARCH_RANKING, &context);
        let mut client = Client::new(OLD_APP, "", &mut self.random);
        let url = "https://shop.example/search";
        for shown_ms in [iteration_end_ms - HOUR_MS, opened_at_ms - HOUR_MS] {
            client.evaluate(shown_ms, &context, &served, false, &mut self.random);
            client.page(shown_ms + 2_000, RESULT_CLICK_ID, &context, url, Some(super::measured::RESULT_SELECTOR));
        }
        self.post_flush(t_ms, &mut client);
    }

    /// A preview deployment sends to its own environment (wrong-environment).
    fn preview(&mut self, t_ms: i64) {
        let application =
            Application { sdk: Sdk::Browser, id: "storefront", version: "preview", credential: PREVIEW_CLIENT_SIDE_ID };
        let mut client = Client::new(application, "Mozilla/5.0 (X11; Linux x86_64)", &mut self.random);
        let context = self.stranger().context();
        let served = self.flags.serve(CHECKOUT_BUTTON, &context);
        client.evaluate(t_ms, &context, &served, false, &mut self.random);
        client.track(t_ms + 800, "checkout", &context, &Tracked::default());
        self.post_flush(t_ms + 2_000, &mut client);
    }

    /// The checkout service's queue overflowed a while ago, as its periodic diagnostic says (queue-overflow).
    fn dropped_events(&mut self, t_ms: i64) {
        if let Some(client) = self.clients.get(&ClientId::Service(Service::CheckoutApi)) {
            let diagnostic = client.diagnostic(t_ms, Some(37), &mut self.random);
            self.post(t_ms, diagnostic);
        }
    }

    /// The order as Segment's LaunchDarkly (Actions) destination passes it on: one event a request, without a
    /// payload id. Its default mapping knows the user and the anonymous id, but not the device that the banner's
    /// experiment is about (event-lacks-unit).
    pub(super) fn segment_order(&mut self, ordered_ms: i64, person: &Person, order: &Order) {
        let body = json!([{
            "kind": "custom",
            "key": "Order Completed",
            "contextKeys": { "unauthenticatedUser": &*person.device.key, "user": &*person.user.key },
            "creationDate": ordered_ms,
            "metricValue": order.value,
            "data": { "revenue": order.value, "sku": order.product },
        }]);
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", "SegmentDestination/2.2.0".to_owned()),
            ("X-LaunchDarkly-Event-Schema", "4".to_owned()),
            ("Accept", "*/*".to_owned()),
        ];
        let delivered_ms = ordered_ms + self.random.between(300, 1_800);
        self.post_to_environment(delivered_ms, CLIENT_SIDE_ID, headers, &body);
    }

    fn post_to_environment(&mut self, t_ms: i64, id: &str, headers: Vec<(&'static str, String)>, body: &Value) {
        let request = DemoRequest {
            method: Method::POST,
            path: format!("/events/bulk/{id}"),
            headers,
            body: Bytes::from(body.to_string()),
            chunked: false,
        };
        self.post(t_ms, request);
    }

    fn post_flush(&mut self, t_ms: i64, client: &mut Client) {
        if let Some(request) = client.flush(&mut self.random) {
            self.post(t_ms, request);
        }
    }
}
