//! The examples are this package.
