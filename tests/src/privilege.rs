//! Tests that need root say so, instead of passing without having tested anything.

/// Whether a test that makes namespaces and TAPs can run.
///
/// `DCBRIDGE_TESTS=unprivileged` leaves such tests out, and says what was left out.
///
/// # Panics
/// When the test can't run and was not left out on purpose: it would otherwise count as passed.
#[track_caller]
pub fn root_for(what: &str) -> bool {
    if std::env::var("DCBRIDGE_TESTS").as_deref() == Ok("unprivileged") {
        eprintln!("left out (DCBRIDGE_TESTS=unprivileged): {what}");
        return false;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs root, to make a network namespace and a TAP ({what}); \
         run it as root or set DCBRIDGE_TESTS=unprivileged to leave such tests out"
    );
    assert!(
        std::path::Path::new("/dev/net/tun").exists(),
        "this test needs /dev/net/tun (modprobe tun) ({what})"
    );
    true
}
