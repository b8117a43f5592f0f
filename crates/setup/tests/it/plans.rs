//! Plans made for hosts that are not this one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use setup::config::Config;
use setup::engine::MasterKey;
use setup::facts::{Architecture, Distribution, Facts, Family, User};
use setup::plan::{self, Options, Plan, Refusal, Target};
use setup::verb::{Sandbox, Verb};

/// A host.
pub(crate) fn facts(family: Family, release: &str, architecture: Architecture) -> Facts {
    Facts {
        distribution: Distribution {
            family,
            release: release.to_owned(),
        },
        architecture,
        node_ip: IpAddr::V4(Ipv4Addr::new(10, 9, 9, 1)),
        kernel: "6.8.0-1-generic".to_owned(),
        user: User {
            uid: 1000,
            gid: 1000,
            home: "/home/sam".into(),
        },
        folder: "/home/sam".into(),
        program: "/home/sam/vhive".into(),
        proxies: BTreeMap::new(),
    }
}

pub(crate) fn debian() -> Facts {
    facts(Family::Debian, "12", Architecture::Amd64)
}

pub(crate) fn options() -> Options {
    Options {
        master_key: Some(MasterKey {
            address: "10.9.9.1".to_owned(),
            port: "6443".to_owned(),
            token: "abcdef.0123456789abcdef".to_owned(),
            hash: "sha256:0011".to_owned(),
        }),
        ..Options::default()
    }
}

pub(crate) fn plan(
    verb: Verb,
    sandbox: Sandbox,
    facts: &Facts,
    options: &Options,
) -> Result<Plan, Refusal> {
    let config = Config::load(None).expect("ours are whole");
    plan::of(&Target {
        verb,
        sandbox,
        facts,
        config: &config,
        options,
    })
}

/// Every plan for a host.
pub(crate) fn all(facts: &Facts) -> Vec<Plan> {
    let sandboxes = |verb: Verb| {
        if verb.needs_sandbox() {
            &Sandbox::ALL[..]
        } else {
            &Sandbox::ALL[..1]
        }
    };
    let mut plans = Vec::new();
    for verb in Verb::plans() {
        for sandbox in sandboxes(verb) {
            let stargz = [false, true];
            let stargz = &stargz[..if verb == Verb::SetupNode { 2 } else { 1 }];
            for stargz in stargz {
                let options = Options {
                    stargz: *stargz,
                    ..options()
                };
                plans.extend(plan(verb, *sandbox, facts, &options));
            }
        }
    }
    plans
}
