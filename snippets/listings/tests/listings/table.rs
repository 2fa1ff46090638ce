//! The table as its authors meet it: what it accepts, and what it says about each mistake.

use std::fs;
use std::time::Duration;

use crate::fixture::{Fixture, TABLE};
use listings::{Exit, Kind, Policy, Table, Tier, Trouble, dependency_lines, maven_project};
use serde_json::json;

#[test]
fn everything_in_the_table_arrives() {
    let fixture = Fixture::new();
    let table = fixture.table();
    let refresh = table.scenario("refresh").unwrap();
    assert_eq!((refresh.kind, refresh.tier), (Kind::Server, Tier::Slow));
    assert_eq!(refresh.policies, [Policy::EnterpriseCluster]);
    assert_eq!(refresh.lifetime, Some(Duration::from_secs(243)));
    assert_eq!(refresh.stop_after.as_ref().unwrap().renewals, Some(2));
    let renewals = refresh.expect.sign_ins[0].renewals;
    assert_eq!([1, 2, 4, 5].map(|count| renewals.contains(count)), [false, true, true, false]);
    let tokens = refresh.expect.tokens[0].count;
    assert!(!tokens.contains(2) && tokens.contains(1_000));
    let exactly = table.scenario("sign-in").unwrap().expect.connections;
    assert!(exactly.contains(1) && !exactly.contains(0) && !exactly.contains(2));
    assert_eq!(format!("{exactly}; {renewals}; {tokens}"), "1; 2 to 4; 3 or more");

    let listing = table.listing("sign-in/rust-sync").unwrap();
    assert_eq!(listing.name(), "rust-sync");
    assert!(listing.directory.join(&listing.files[0]).is_file());

    let mistake = table.mistake("wrong-name").unwrap();
    assert_eq!(mistake.environment.without, ["SSL_CERT_FILE"]);
    assert_eq!(mistake.environment.with["REDIS_PORT"], "1");
    assert_eq!(mistake.trouble, Some(Trouble::RedisOtherName));
    assert_eq!(mistake.exit, Exit::Failure);
    assert!(mistake.shows[0].is_match("Error: WRONGPASS invalid"));
    let log = &mistake.logs[0];
    let refused = |reason| json!({"event": "sign-in-refused", "reason": reason, "connection": 1});
    assert!(log.matches(&refused("username-not-object-id")));
    assert!(!log.matches(&refused("expired")));
    assert!(!log.matches(&json!({"event": "sign-in-refused"})));
    assert_eq!(table.mutations[0].id(), "sign-in/rust-sync: static-token");
}

#[test]
fn tabs_come_in_the_order_of_the_stacks() {
    let fixture = Fixture::new();
    let table = fixture.table();
    let names: Vec<_> = table.listings_of("sign-in").iter().map(|listing| listing.name()).collect();
    assert_eq!(names, ["rust-sync", "python"]);
}

#[test]
fn a_mistake_may_stand_on_an_ordinary_listing() {
    let fixture = Fixture::new();
    let table = TABLE
        .replace("files = [\"mistakes/wrong_name.rs\"]", "listing = \"sign-in\"")
        .replace("variant = \"sync\"\n", "")
        .replace("rust-sync", "rust");
    fixture.write("snippets/scenarios.toml", &table);
    let table = fixture.table();
    assert_eq!(table.mistakes[0].listing.as_deref(), Some("sign-in/rust"));
}

#[test]
fn each_mistake_in_the_table_is_named() {
    let fixture = Fixture::new();
    let rust_listing = "stack = \"rust\"\nvariant = \"sync\"";
    for (from, to, said) in [
        // What is not there.
        (
            rust_listing,
            "stack = \"ruby\"\nvariant = \"sync\"",
            "listing `sign-in/ruby-sync` names the stack `ruby`, which does not exist; the table has rust, python",
        ),
        (
            "scenario = \"refresh\"",
            "scenario = \"refersh\"",
            "names the scenario `refersh`, which does not exist; the table has sign-in, refresh",
        ),
        (
            "listing = \"sign-in/rust-sync\"",
            "listing = \"sign-in/rust\"",
            "mutation `sign-in/rust: static-token` names the listing `sign-in/rust`",
        ),
        (
            "[\"examples/sign_in.rs\"]",
            "[\"examples/sign_out.rs\"]",
            "listing `sign-in/rust-sync` names the file `examples/sign_out.rs`, but there is no",
        ),
        ("mistakes/wrong_name.rs", "mistakes/gone.rs", "mistake `wrong-name` names the file `mistakes/gone.rs`"),
        ("mutations/static_token.rs", "mutations/gone.rs", "names the file `mutations/gone.rs`"),
        ("folder = \"python\"", "folder = \"snake\"", "stack `python` names the folder `snake`"),
        ("pyproject.toml", "setup.py", "stack `python` names the file `setup.py`"),
        ("[\"examples/sign_in.rs\"]", "[\"../../secret.rs\"]", "which is not below"),
        // What contradicts itself.
        (rust_listing, "stack = \"python\"", "listing `sign-in/python` stands twice"),
        (
            "impossible = {",
            "files = [\"sign_in.py\"]\nimpossible = {",
            "listing `refresh/python` has `files` and is `impossible`",
        ),
        ("files = [\"sign_in.py\"]", "", "listing `sign-in/python` has no `files`"),
        ("files = [\"mistakes/wrong_name.rs\"]", "", "mistake `wrong-name` needs either `files`"),
        (
            "files = [\"mistakes/wrong_name.rs\"]",
            "files = [\"mistakes/wrong_name.rs\"]\nlisting = \"sign-in/python\"",
            "mistake `wrong-name` needs either `files`",
        ),
        (
            "files = [\"mistakes/wrong_name.rs\"]",
            "listing = \"refresh/python\"",
            "`refresh/python`, which is impossible",
        ),
        ("files = [\"mutations/static_token.rs\"]", "", "changes nothing"),
        ("shows = ['WRONGPASS.*']", "shows = []", "mistake `wrong-name` has no `shows`"),
        ("stop-after = { renewals = 2 }", "stop-after = {}", "scenario `refresh` has an empty `stop-after`"),
        ("policies = [\"enterprise-cluster\"]", "policies = []", "scenario `refresh` has no policies"),
        ("id = \"wrong-name\"", "id = \"Wrong Name\"", "the mistake id `Wrong Name` is not usable"),
        // What cannot be read.
        ("count = \"1\"", "count = \"4..2\"", "`4..2` is not a count: write \"1\" for exactly one"),
        ("count = \"1\"", "count = \"some\"", "`some` is not a count"),
        ("['WRONGPASS.*']", "['(WRONGPASS']", "`(WRONGPASS` is not a regular expression"),
        ("lifetime = 240", "lifetime = 0", "a lifetime of 0 seconds"),
        ("tier = \"slow\"", "tier = \"slwo\"", "unknown variant `slwo`, expected `quick` or `slow`"),
        ("tier = \"slow\"", "teir = \"slow\"", "unknown field `teir`"),
        ("connections = \"1\"", "conections = \"1\"", "unknown field `conections`"),
        ("\"redis-other-name\"", "\"redis-oder-name\"", "unknown variant `redis-oder-name`"),
        ("title = \"Refresh\"\n", "", "missing field `title`"),
        ("[scenarios.refresh]", "[scenarios.refresh", "is not a table of listings: TOML parse error at line"),
        ("[scenarios.refresh]", "[scenarios.sign-in]", "duplicate key"),
    ] {
        let fault = fixture.fault(from, to);
        assert!(fault.contains(said), "for {to:?}:\n{fault}");
        assert!(fault.contains("snippets/scenarios.toml"), "{fault}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let fixture = Fixture::new();
    let fault = fixture.fault("sign_in.", "sign_out.");
    assert!(fault.contains("has 2 faults:\n- "), "{fault}");
    assert!(fault.contains("examples/sign_out.rs") && fault.contains("`sign_out.py`"), "{fault}");
}

#[test]
fn a_missing_table_says_where_to_be() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path("snippets/scenarios.toml")).unwrap();
    let fault = Table::load(fixture.root()).unwrap_err().to_string();
    assert!(fault.contains("run the command in the repository of the book"), "{fault}");
}

#[test]
fn broken_regions_are_named_with_file_and_line() {
    let fixture = Fixture::new();
    for (source, said) in [
        ("// ANCHOR: shown\nlet x;\n", "examples/sign_in.rs: the region `shown` that line 1 starts has no end"),
        ("let x;\n// ANCHOR_END: shown\n", "line 2 ends the region `shown`, which no line started"),
        ("// ANCHOR: shown\nx\n// ANCHOR: shown\n", "line 3 starts the region `shown`, which line 1 started already"),
        ("// ANCHOR: show\nlet x;\n// ANCHOR_END: show\n", "it has a region `show` but none called `shown`"),
        ("// ANCHOR: shown\n\n// ANCHOR_END: shown\nlet x;\n", "there is nothing to show"),
        ("", "there is nothing to show"),
    ] {
        fixture.write("snippets/rust/examples/sign_in.rs", source);
        let fault = Table::load(fixture.root()).unwrap_err().to_string();
        assert!(fault.contains(said), "for {source:?}:\n{fault}");
    }
}

#[test]
fn dependency_lines_are_what_a_reader_would_write() {
    let fixture = Fixture::new();
    let table = fixture.table();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rust = table.stack("rust").unwrap();
    assert_eq!(
        dependency_lines(rust, &names(&["redis", "anyhow"])).unwrap(),
        [
            "redis = { version = \"1.8.1\", default-features = false, features = [\"entra-id\", \"x\"] }",
            "anyhow = \"1\"",
        ]
    );
    let python = table.stack("python").unwrap();
    assert_eq!(
        dependency_lines(python, &names(&["redis", "Redis_EntraID"])).unwrap(),
        ["redis==7.0.1", "redis-entraid[x]>=1.0 ; python_version > '3.9'"]
    );

    let fault = dependency_lines(rust, &names(&["serde"])).unwrap_err();
    assert!(fault.to_string().contains("Cargo.toml has no dependency `serde`"), "{fault}");
    let fault = dependency_lines(rust, &names(&["local"])).unwrap_err();
    assert!(format!("{fault:#}").contains("`local` comes from this repository"), "{fault:#}");
}

#[test]
fn dependency_lines_of_a_package_json_are_what_npm_takes() {
    let fixture = Fixture::new();
    fixture.write("snippets/scenarios.toml", &TABLE.replace("pyproject.toml", "package.json")).write(
        "snippets/python/package.json",
        r#"{ "private": true, "dependencies": { "@redis/entraid": "6.1.0" }, "devDependencies": { "typescript": "7.0.2" } }"#,
    );
    let table = fixture.table();
    let lines = |name: &str| dependency_lines(table.stack("python").unwrap(), &[name.to_owned()]);
    assert_eq!(lines("@redis/entraid").unwrap(), ["@redis/entraid@6.1.0"]);
    let fault = lines("typescript").unwrap_err();
    assert!(fault.to_string().contains("package.json has no dependency `typescript`"), "{fault}");

    fixture.write("snippets/python/package.json", "{");
    let fault = lines("@redis/entraid").unwrap_err();
    assert!(format!("{fault:#}").contains("package.json, a manifest: it is not JSON"), "{fault:#}");
}

#[test]
fn dependency_lines_of_go_name_module_and_version() {
    let fixture = Fixture::new();
    let module = "module example.com/x\n\ngo 1.26.0\n\nrequire example.com/one v1.0.0 // indirect\n\n\
                  require (\n\texample.com/two/v9 v9.1.0\n\texample.com/three v0.3.0 // indirect\n)\n";
    fixture
        .write("snippets/python/go.mod", module)
        .write("snippets/scenarios.toml", &TABLE.replace("pyproject.toml", "go.mod"));
    let table = fixture.table();
    let go = table.stack("python").unwrap();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        dependency_lines(go, &names(&["example.com/two/v9", "example.com/one", "example.com/three"])).unwrap(),
        ["example.com/two/v9 v9.1.0", "example.com/one v1.0.0", "example.com/three v0.3.0"]
    );
    let fault = dependency_lines(go, &names(&["example.com/two"])).unwrap_err();
    assert!(fault.to_string().contains("go.mod has no dependency `example.com/two`"), "{fault}");
}

#[test]
fn dependency_lines_of_file_based_apps_are_their_own() {
    let fixture = Fixture::new();
    fixture
        .write("snippets/python/Directory.Build.props", "<Project />")
        .write("snippets/python/one.cs", "#:package Example.One@1.0.0\n#:package Example.Two@2.0.0\n")
        .write("snippets/python/two.cs", "#:package Example.Two@2.0.0\n")
        .write("snippets/scenarios.toml", &TABLE.replace("pyproject.toml", "Directory.Build.props"));
    let table = fixture.table();
    let dotnet = table.stack("python").unwrap();
    let names = ["Example.Two".to_owned(), "Example.One".to_owned()];
    assert_eq!(
        dependency_lines(dotnet, &names).unwrap(),
        ["#:package Example.Two@2.0.0", "#:package Example.One@1.0.0"]
    );
    fixture.write("snippets/python/two.cs", "#:package Example.Two@2.1.0\n");
    let fault = format!("{:#}", dependency_lines(dotnet, &names).unwrap_err());
    assert!(fault.contains("Example.Two") && fault.contains("choose one"), "{fault}");
}

#[test]
fn dependency_lines_of_maven_tell_parents_and_lists_of_versions_apart() {
    let fixture = Fixture::new();
    let pom = "<project>\n<parent><groupId>org.example</groupId><artifactId>parent</artifactId>\
               <version>4.0.7</version></parent>\n<!-- <dependency> -->\n\
               <dependencyManagement><dependencies><dependency><groupId>io.example</groupId>\
               <artifactId>bom</artifactId><version>4.2</version><type>pom</type><scope>import</scope>\
               </dependency></dependencies></dependencyManagement>\n<dependencies>\n\
               <dependency><groupId>a.b</groupId><artifactId>c</artifactId><version>1.0</version></dependency>\n\
               <dependency><groupId>a.b</groupId><artifactId>managed</artifactId></dependency>\n\
               </dependencies><build><plugins><plugin><dependencies><dependency><groupId>a.b</groupId>\
               <artifactId>of-a-plugin</artifactId><version>9</version></dependency></dependencies></plugin></plugins>\
               </build></project>\n";
    fixture
        .write("snippets/python/pom.xml", pom)
        .write("snippets/scenarios.toml", &TABLE.replace("pyproject.toml", "pom.xml"));
    let table = fixture.table();
    let java = table.stack("python").unwrap();
    let lines = |names: &[&str]| dependency_lines(java, &names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let found = lines(&["org.example:parent", "io.example:bom", "a.b:c", "a.b:managed"]).unwrap();
    assert_eq!(found, ["parent org.example:parent:4.0.7", "bom io.example:bom:4.2", "a.b:c:1.0", "a.b:managed"]);

    let project = maven_project(&found).unwrap();
    for part in ["<parent>\n  <groupId>org.example</groupId>", "<scope>import</scope>", "<version>1.0</version>"] {
        assert_eq!(project.matches(part).count(), 1, "{part} in {project}");
    }
    for other in ["a.b:other", "a.b:of-a-plugin"] {
        let fault = lines(&[other]).unwrap_err();
        assert!(fault.to_string().contains(&format!("pom.xml has no dependency `{other}`")), "{fault}");
    }
}

#[test]
fn a_manifest_of_an_unknown_kind_says_where_to_add_it() {
    let fixture = Fixture::new();
    fixture
        .write("snippets/python/setup.py", "")
        .write("snippets/scenarios.toml", &TABLE.replace("pyproject.toml", "setup.py"));
    let table = fixture.table();
    let fault = dependency_lines(table.stack("python").unwrap(), &[]).unwrap_err();
    assert!(fault.to_string().contains("add a kind to snippets/listings/src/manifest.rs"), "{fault}");
}
