use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::Context;
use super::failure::{FAILED, Failure};
use super::server::{misconfigured, not_started, read_text};
use super::topic::key_value;
use crate::config::NodeConfig;
use crate::metadata::MetadataVersion;
use crate::model::{ClusterId, uuid_from_text};
use crate::node::{
    InitialController, InitialVoters, format_storage, founding_features, random_uuid_text,
    storage_info,
};

/// Look after the directories of a node that does not run.
#[derive(Debug, Args)]
pub(super) struct StorageArguments {
    #[command(subcommand)]
    command: StorageCommand,
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Write a new id, for a cluster or a directory
    RandomUuid,
    /// Format the directories of one node
    Format(FormatArguments),
    /// Say whom the directories of one node belong to
    Info(ConfigurationArguments),
}

#[derive(Debug, Args)]
struct ConfigurationArguments {
    /// Kafka's server.properties
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Set a configuration value; may be repeated
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct FormatArguments {
    #[command(flatten)]
    configuration: ConfigurationArguments,
    /// The cluster: the same for all its nodes
    #[arg(short = 't', long, value_name = "ID", value_parser = cluster_id)]
    cluster_id: ClusterId,
    /// This node is the only voter at first
    #[arg(short, long, conflicts_with_all = ["initial_controllers", "no_initial_controllers"])]
    standalone: bool,
    /// The first voters, separated by commas
    #[arg(
        short = 'I',
        long,
        value_name = "ID@HOST:PORT:DIRECTORY",
        value_delimiter = ',',
        value_parser = initial_controller,
        conflicts_with = "no_initial_controllers"
    )]
    initial_controllers: Vec<InitialController>,
    /// This node finds the voters in the metadata log of others
    #[arg(short = 'N', long)]
    no_initial_controllers: bool,
    /// A feature the cluster begins with, and its level; may be repeated
    #[arg(short = 'f', long = "feature", value_name = "NAME=LEVEL", value_parser = feature)]
    features: Vec<(String, i16)>,
    /// The release whose metadata the cluster begins with, such as 4.0 or 4.0-IV1; else the newest
    #[arg(short, long, value_name = "RELEASE", value_parser = release)]
    release_version: Option<MetadataVersion>,
    /// Leave directories that are formatted already as they are
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
}

/// Kafka makes sure that a cluster's id is 16 bytes.
fn cluster_id(text: &str) -> Result<ClusterId, String> {
    let wrong = || "expected 16 bytes in base64, as `ottla storage random-uuid` writes".to_owned();
    uuid_from_text(text).map(|_| ClusterId::new(text)).ok_or_else(wrong)
}

fn feature(text: &str) -> Result<(String, i16), String> {
    let wrong = || "expected NAME=LEVEL".to_owned();
    let (name, level) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.trim().to_owned(), level.trim().parse().map_err(|_| wrong())?))
}

fn release(text: &str) -> Result<MetadataVersion, String> {
    let unknown = || "expected a release from 3.3-IV3 to 4.4-IV2".to_owned();
    MetadataVersion::from_name(text).ok_or_else(unknown)
}

fn initial_controller(text: &str) -> Result<InitialController, String> {
    InitialController::parse(text).ok_or_else(|| "expected ID@HOST:PORT:DIRECTORY".to_owned())
}

pub(super) async fn run(context: &mut Context, arguments: StorageArguments) -> Result<(), Failure> {
    match arguments.command {
        StorageCommand::RandomUuid => {
            writeln!(context.out, "{}", random_uuid_text(&context.runtime))?;
        }
        StorageCommand::Format(arguments) => format(context, &arguments).await?,
        StorageCommand::Info(arguments) => info(context, &arguments).await?,
    }
    Ok(context.out.flush()?)
}

async fn configuration(
    context: &Context,
    arguments: &ConfigurationArguments,
) -> Result<NodeConfig, Failure> {
    let text = read_text(&context.runtime, &arguments.config).await?;
    let name = arguments.config.display().to_string();
    let read = NodeConfig::read(Some((&name, &text)), &arguments.overrides);
    read.map_err(|error| misconfigured(&error))
}

async fn format(context: &mut Context, arguments: &FormatArguments) -> Result<(), Failure> {
    let config = configuration(context, &arguments.configuration).await?;
    let voters = if arguments.standalone {
        InitialVoters::Standalone
    } else if !arguments.initial_controllers.is_empty() {
        InitialVoters::Controllers(arguments.initial_controllers.clone())
    } else {
        InitialVoters::Unsaid
    };
    let is_unsaid = voters == InitialVoters::Unsaid && !arguments.no_initial_controllers;
    if config.roles.controller && config.quorum.voters.is_empty() && is_unsaid {
        return Err(Failure::usage(
            "controller.quorum.voters is not set on this controller: say --standalone, --initial-controllers or \
             --no-initial-controllers",
        ));
    }
    let mut features = arguments.features.clone();
    if let Some(release) = arguments.release_version {
        if features.iter().any(|(name, _)| name == MetadataVersion::FEATURE) {
            return Err(Failure::usage(
                "--release-version says which metadata.version it is: leave --feature metadata.version out",
            ));
        }
        features.push((MetadataVersion::FEATURE.to_owned(), release.level()));
    }
    let founding = founding_features(&config, &voters, &features);
    let founding = founding.map_err(|error| Failure::usage(error.to_string()))?;
    if !arguments.ignore_formatted {
        let found = storage_info(&context.runtime, &config).await;
        let found = found.map_err(|error| not_started(&error))?;
        if let Some(formatted) = found.iter().find(|one| one.identity.is_some()) {
            let what = format!("{} is formatted already", formatted.path.display());
            return Err(Failure::new(FAILED, what)
                .advise("leave it so with --ignore-formatted, or choose an empty directory"));
        }
    }
    let cluster_id = &arguments.cluster_id;
    let formatted =
        format_storage(&context.runtime, &config, cluster_id, &voters, Some(&founding)).await;
    for path in formatted.map_err(|error| not_started(&error))? {
        writeln!(context.out, "{}", path.display())?;
    }
    Ok(())
}

async fn info(context: &mut Context, arguments: &ConfigurationArguments) -> Result<(), Failure> {
    let config = configuration(context, arguments).await?;
    let found = storage_info(&context.runtime, &config).await;
    for one in found.map_err(|error| not_started(&error))? {
        let path = one.path.display();
        match one.identity {
            Some((cluster, directory)) => {
                writeln!(context.out, "{path}\tcluster {cluster}\tdirectory {directory}")?;
            }
            None => writeln!(context.out, "{path}\tnot formatted")?,
        }
    }
    Ok(())
}
