//! Must fail its judge: prints what the listing prints, and does nothing.

fn main() {
    println!("PONG");
}
