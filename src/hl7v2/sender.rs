//! Who may send over MLLP: the configured senders, or anybody on loopback in `dev`.

use super::ack::Ack;
use super::charset::Charset;
use super::header::Header;
use super::irregular::{Irregularity, Kind};
use super::mllp::Frame;
use super::plan::Settings;
use super::receive::{self, Sender};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::clock;
use crate::i18n::Language;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// The name under which messages of `dev` are known.
const LOOPBACK: &str = "loopback";
const UNKNOWN: &str = "unknown";

/// What the handler of a listener needs.
pub struct Desk {
    app: Arc<App>,
    settings: Settings,
    /// `dev`: whoever reaches the loopback address is a sender.
    any_on_loopback: bool,
}

impl Desk {
    pub fn new(app: Arc<App>, settings: Settings, any_on_loopback: bool) -> Desk {
        Desk { app, settings, any_on_loopback }
    }

    /// One frame to its acknowledgement.
    pub async fn handle(&self, frame: Frame, peer: SocketAddr) -> Option<Bytes> {
        let (raw, oversize) = match &frame {
            Frame::Whole(raw) => (raw, false),
            Frame::Oversize(head) => (head, true),
        };
        let header = Header::read(raw)?;
        let Some(sender) = self.sender(peer, &header) else {
            return self.turned_away(&header, UNKNOWN, Kind::Sender).await;
        };
        if oversize {
            return self.turned_away(&header, &sender.name, Kind::TooLarge).await;
        }
        let caller = caller(&sender.name);
        receive::receive(&self.app, &caller, &self.settings, &sender, raw).await.map(Bytes::from)
    }

    fn sender(&self, peer: SocketAddr, header: &Header) -> Option<Sender> {
        let default = Charset::named(&self.app.config.hl7v2.charset).unwrap_or_default();
        let [application, facility, _] = header.key(default);
        let is = |wanted: &Option<String>, told: &str| wanted.as_deref().is_none_or(|wanted| wanted == told);
        let configured = self.app.config.mllp.senders.iter().find(|sender| {
            let address = sender.address.contains(peer.ip());
            address && is(&sender.sending_application, &application) && is(&sender.sending_facility, &facility)
        });
        match configured {
            Some(sender) => {
                let charset = sender.charset.as_deref().and_then(Charset::named).unwrap_or(default);
                Some(Sender { name: sender.name.clone(), charset })
            }
            None if self.any_on_loopback && peer.ip().is_loopback() => {
                Some(Sender { name: LOOPBACK.to_owned(), charset: default })
            }
            None => None,
        }
    }

    /// Refused before it is looked into: audited, not kept (anybody could fill the disk).
    async fn turned_away(&self, header: &Header, name: &str, kind: Kind) -> Option<Bytes> {
        let event = Event::new(&caller(name), "message").ended(Outcome::Minor, kind.name());
        // Without its audit record no answer leaves: the sender will try again.
        self.app.audit.record(vec![event]).await.ok()?;
        let ack = Ack {
            header,
            charset: Charset::default(),
            control_id: &clock::tail(),
            sent: clock::now(),
            offset: self.settings.offset,
        };
        ack.answer(&[Irregularity::new(kind)]).map(|answer| Bytes::from(answer.bytes))
    }
}

fn caller(sender: &str) -> Caller {
    Caller {
        role: Role::Integracion,
        actor: format!("mllp/{sender}"),
        documento_id: "-".to_owned(),
        patient: None,
        language: Language::En,
        request_id: clock::uuid().to_string(),
    }
}
