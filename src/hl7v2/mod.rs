//! HL7 v2: from bytes on a socket to changes of FHIR resources, and back to an acknowledgement.
//!
//! A message walks through these, all pure but [`mllp`]: [`mllp`] (frames) -> [`header`] (whom to answer) -> [`message`]
//! (segments and fields) -> [`plan`] (which patient, which visit, what changes) -> [`ack`]. [`irregular`] is everything
//! that can be wrong on the way. Triggers: ADT A01, A03, A04, A08; anything else is refused by name.

pub mod ack;
pub mod charset;
mod datatype;
mod dtm;
pub mod header;
pub mod irregular;
pub mod message;
pub mod mllp;
mod patient;
pub mod plan;
pub mod receive;
pub mod sender;
pub mod table;
mod visit;
