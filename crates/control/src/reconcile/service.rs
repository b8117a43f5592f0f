//! Service → Configuration and Route, and what they say back.

use api::meta::ObjectMeta;
use api::serving::{
    Configuration, ConfigurationSpec, Route, RouteSpec, Service, TrafficTarget, service_labels,
};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object, owner};

pub(crate) fn plan(
    service: &Service,
    configuration: Option<&Configuration>,
    route: Option<&Route>,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let spec = ConfigurationSpec {
        template: service.spec.template.clone(),
    };
    match configuration {
        None => actions.push(Action::Create(Object::Configuration(Box::new(
            Configuration::new(child(service), spec),
        )))),
        Some(current) if current.spec != spec => {
            let updated = Configuration {
                spec,
                ..current.clone()
            };
            actions.push(Action::Update(Object::Configuration(Box::new(updated))));
        }
        Some(_) => {}
    }
    let spec = RouteSpec {
        traffic: traffic(service),
    };
    match route {
        None => actions.push(Action::Create(Object::Route(Box::new(Route::new(
            child(service),
            spec,
        ))))),
        Some(current) if current.spec != spec => {
            let updated = Route {
                spec,
                ..current.clone()
            };
            actions.push(Action::Update(Object::Route(Box::new(updated))));
        }
        Some(_) => {}
    }
    let settled = actions.is_empty();
    let updated = with_status(service, configuration, route, settled, now);
    if updated.status != service.status {
        actions.push(Action::UpdateStatus(Object::Service(Box::new(updated))));
    }
    actions
}

fn child(service: &Service) -> ObjectMeta {
    ObjectMeta {
        name: service.metadata.name.clone(),
        namespace: service.metadata.namespace.clone(),
        labels: service_labels(&service.metadata),
        owner_references: vec![owner(Service::KIND, &service.metadata)],
        ..ObjectMeta::default()
    }
}

/// The Service's traffic as its Route wants it: "latest" names the Configuration.
fn traffic(service: &Service) -> Vec<TrafficTarget> {
    let targets = service.spec.traffic.iter().cloned();
    targets
        .map(|mut target| {
            if target.revision_name.is_empty() {
                target.configuration_name.clone_from(&service.metadata.name);
            }
            target
        })
        .collect()
}

fn with_status(
    service: &Service,
    configuration: Option<&Configuration>,
    route: Option<&Route>,
    settled: bool,
    now: Timestamp,
) -> Service {
    let mut updated = service.clone();
    let status = &mut updated.status;
    status.observed_generation = service.metadata.generation;
    let configured = configuration.map_or_else(
        || Verdict::unknown("", ""),
        |it| {
            Verdict::of_child(
                &it.status.conditions,
                settled && it.status.observed_generation == it.metadata.generation,
            )
        },
    );
    let routed = route.map_or_else(
        || Verdict::unknown("", ""),
        |it| {
            Verdict::of_child(
                &it.status.conditions,
                settled && it.status.observed_generation == it.metadata.generation,
            )
        },
    );
    if let Some(configuration) = configuration {
        status
            .latest_created_revision_name
            .clone_from(&configuration.status.latest_created_revision_name);
        status
            .latest_ready_revision_name
            .clone_from(&configuration.status.latest_ready_revision_name);
    }
    if let Some(route) = route {
        status.url.clone_from(&route.status.url);
        status.address.clone_from(&route.status.address);
        status.traffic.clone_from(&route.status.traffic);
    }
    let dependents = [("ConfigurationsReady", configured), ("RoutesReady", routed)];
    status.conditions = conditions::write(&service.status.conditions, &dependents, &[], now);
    updated
}
