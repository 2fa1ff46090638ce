//! What the command prints when it is ready: where everything is, who there is, and the variables to set.

use std::io::{self, Write};
use std::path::Path;

use azure_managed_redis_emulator::{Emulator, Environment};

use crate::env;

/// Prints all settings. The client secret among them is the same for everybody; the token of the control API is in its file only.
pub(crate) fn print(emulator: &Emulator, control: &Path, out: &mut impl Write) -> io::Result<()> {
    let directory = emulator.directory();
    let assignments = emulator.control().assignments();
    writeln!(
        out,
        "Azure Managed Redis emulator (unofficial) with {} from {}",
        emulator.engine(),
        emulator.engine().path.display()
    )?;
    writeln!(out)?;
    writeln!(out, "  Redis      localhost:{} (TLS)", emulator.redis_port())?;
    writeln!(out, "  Entra ID   https://localhost:{}", emulator.entra_port())?;
    writeln!(out, "  proxy      http://127.0.0.1:{}", emulator.proxy_port())?;
    writeln!(out, "  control    {} (its token is in {})", emulator.control_address(), control.display())?;
    writeln!(out, "  CA         {}", emulator.ca_file().display())?;
    writeln!(out, "  tenant     {}", directory.tenant_id)?;
    writeln!(out)?;
    writeln!(
        out,
        "  {:<18} {:<24} {:<37} {:<37} may use the cache",
        "identity", "kind", "object id (the user name)", "client id"
    )?;
    for identity in &directory.identities {
        let assignment = assignments.iter().find(|assignment| assignment.object_id == identity.object_id);
        let rights = assignment.map_or("no", |assignment| assignment.access_string.as_str());
        writeln!(
            out,
            "  {:<18} {:<24} {:<37} {:<37} {rights}",
            identity.name,
            identity.kind.title(),
            identity.object_id.to_string(),
            identity.client_id.to_string()
        )?;
    }
    let identities = directory.identities.iter().map(|identity| identity.name.as_str());
    for name in identities.chain([Environment::ACCESS_KEY]) {
        // Access keys may be off.
        let Ok(environment) = emulator.environment(name) else { continue };
        writeln!(out, "\n# as {name}")?;
        env::write_exports(&environment, out)?;
    }
    writeln!(out, "\nReady. Ctrl-C stops it.")?;
    out.flush()
}
