-- What the first sending of a form said, without passwords: a second one that says something else is told, and sees both.
alter table form add column sent text;
