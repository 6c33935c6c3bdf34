-- The desk of admission lists the messages of today over all records.
create index hl7_message_received on hl7_message (received);
