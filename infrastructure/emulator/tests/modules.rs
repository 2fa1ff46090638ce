//! Modules, which give an engine commands of their own: each engine of a cache has them, after a failover too, and access strings
//! concern them. Needs a C compiler, to make one.

mod support;

use std::path::Path;
use std::process::Command;

use azure_managed_redis_emulator::{ClusteringPolicy, Emulator};
use support::{Client, lacks};

/// A module of one command, `GREETING.SAY key`; `None` without a C compiler.
fn module(folder: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/module/greeting.c");
    let module = folder.join("greeting.so");
    let shared =
        if cfg!(target_os = "macos") { ["-bundle", "-undefined", "dynamic_lookup"].as_slice() } else { &["-shared"] };
    let compiled = Command::new("cc")
        .args(shared)
        .args(["-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&module)
        .arg(source)
        .status();
    match compiled {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            lacks(&format!("a C compiler, `cc`: {error}"));
            return None;
        }
    }
    Some(module)
}

#[test]
fn each_engine_has_the_modules_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let Some(module) = module(folder.path()) else { return };
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = Emulator::builder().module(&module).clustering_policy(policy).start().unwrap();
        let control = emulator.control();
        assert_eq!(emulator.engine().modules, [module.canonicalize().unwrap()]);
        control.fail_over(0).unwrap();
        for port in control.shards() {
            let mut client = Client::signed_in(&emulator, port, "user");
            // Whose slot it is does not matter: the reply is the command's or the cluster's.
            let said = client.command(&["GREETING.SAY", "key"]);
            assert!(said == "+hello from a module" || said.starts_with("-MOVED"), "{policy:?}: {said}");
            let unknown = client.command(&["GREETING.SHOUT", "key"]);
            assert!(unknown.starts_with("-ERR unknown command"), "{unknown}");
        }
        let user = emulator.directory().identity("user").unwrap().object_id;
        control.assign("user", user, Some("+@all -greeting.say ~*")).unwrap();
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "user");
        assert!(client.command(&["GREETING.SAY", "key"]).starts_with("-NOPERM"), "{policy:?}");
    }
}

#[test]
fn a_module_that_is_none_is_named() {
    let missing = Emulator::builder().module("no/such.so").start().err().unwrap().to_string();
    assert!(missing.contains("the module no/such.so can't be used") && missing.contains("rejson.so"), "{missing}");
    let text = tempfile::NamedTempFile::new().unwrap();
    let broken = Emulator::builder().module(text.path()).start().err().unwrap().to_string();
    assert!(broken.contains("can't be used: it ended at once"), "{broken}");
}
