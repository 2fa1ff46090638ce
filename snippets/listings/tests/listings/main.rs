//! The crate as its users meet it: authors of the table and of chapters, readers of the page, the
//! runner and the build script. One target, because linking mdBook takes longer than all the tests.

mod book;
mod clients;
mod fixture;
mod page;
mod recording;
mod table;
