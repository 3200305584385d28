//! Keys of a node about security, tiered storage, share and streams groups.

use super::rows;

rows! {
    /// By name.
    pub(super) static OTHER;
    "delegation.token.expiry.check.interval.ms" Long "3600000", AtLeast(1), ReadOnly Accepted Shown,
        "How often expired delegation tokens are removed.";
    "delegation.token.expiry.time.ms" Long "86400000", AtLeast(1), ReadOnly Accepted Shown,
        "Time after which a delegation token must be renewed.";
    "delegation.token.max.lifetime.ms" Long "604800000", AtLeast(1), ReadOnly Accepted Shown,
        "Time after which a delegation token cannot be renewed.";
    "delegation.token.secret.key" Password null, Any, ReadOnly Accepted Shown,
        "Secret that signs delegation tokens.";
    "follower.fetch.last.tiered.offset.enable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether a new follower starts at the last offset in remote storage.";
    "group.share.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments of a share group.";
    "group.share.assignors" List "simple", Any, ReadOnly Accepted Shown,
        "Assignors of share groups.";
    "group.share.delivery.count.limit" Int "5", Between(2, 10), ReadOnly Accepted Shown,
        "Most deliveries of one record to a share group.";
    "group.share.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Heartbeat interval given to members of share groups.";
    "group.share.initialize.retry.interval.ms" Int "30000", AtLeast(1), ReadOnly Accepted Hidden,
        "Pause before the state of a share partition is initialized again.";
    "group.share.max.assignment.interval.ms" Int "15000", AtLeast(0), ReadOnly Accepted Shown,
        "Largest assignment interval a share group may configure.";
    "group.share.max.delivery.count.limit" Int "10", Between(5, 25), ReadOnly Accepted Shown,
        "Largest delivery limit a share group may configure.";
    "group.share.max.heartbeat.interval.ms" Int "15000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest heartbeat interval a share group may configure.";
    "group.share.max.partition.max.record.locks" Int "4000", Between(2000, 10_000), ReadOnly Accepted Shown,
        "Largest record lock limit a share group may configure.";
    "group.share.max.record.lock.duration.ms" Int "60000", Between(30_000, 3_600_000), ReadOnly Accepted Shown,
        "Longest record lock a share group may configure.";
    "group.share.max.session.timeout.ms" Int "60000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest session timeout a share group may configure.";
    "group.share.max.share.sessions" Int "2000", AtLeast(1), ReadOnly Accepted Shown,
        "Most share sessions of one broker.";
    "group.share.max.size" Int "200", Between(1, 1000), ReadOnly Accepted Shown,
        "Most members of one share group.";
    "group.share.min.assignment.interval.ms" Int "0", AtLeast(0), ReadOnly Accepted Shown,
        "Smallest assignment interval a share group may configure.";
    "group.share.min.delivery.count.limit" Int "2", Between(2, 5), ReadOnly Accepted Shown,
        "Smallest delivery limit a share group may configure.";
    "group.share.min.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest heartbeat interval a share group may configure.";
    "group.share.min.partition.max.record.locks" Int "100", Between(100, 2000), ReadOnly Accepted Shown,
        "Smallest record lock limit a share group may configure.";
    "group.share.min.record.lock.duration.ms" Int "15000", Between(1000, 30_000), ReadOnly Accepted Shown,
        "Shortest record lock a share group may configure.";
    "group.share.min.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest session timeout a share group may configure.";
    "group.share.partition.max.record.locks" Int "2000", Between(100, 10_000), ReadOnly Accepted Shown,
        "Most records locked at a time in one share partition.";
    "group.share.persister.class.name" String "org.apache.kafka.server.share.persister.DefaultStatePersister", Any, ReadOnly Accepted Hidden,
        "A Java class that keeps the state of share groups.";
    "group.share.record.lock.duration.ms" Int "30000", Between(1000, 3_600_000), ReadOnly Accepted Shown,
        "Time a record is locked for the member that got it.";
    "group.share.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Time without heartbeat after which a member of a share group is removed.";
    "group.streams.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments of a streams group.";
    "group.streams.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Heartbeat interval given to members of streams groups.";
    "group.streams.initial.rebalance.delay.ms" Int "3000", AtLeast(0), ReadOnly Accepted Shown,
        "Time the first assignment of a streams group waits for more members.";
    "group.streams.max.assignment.interval.ms" Int "15000", AtLeast(0), ReadOnly Accepted Shown,
        "Largest assignment interval a streams group may configure.";
    "group.streams.max.heartbeat.interval.ms" Int "15000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest heartbeat interval a streams group may configure.";
    "group.streams.max.session.timeout.ms" Int "60000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest session timeout a streams group may configure.";
    "group.streams.max.size" Int "2147483647", AtLeast(1), ReadOnly Accepted Shown,
        "Most members of one streams group.";
    "group.streams.max.standby.replicas" Int "2", AtLeast(0), ReadOnly Accepted Shown,
        "Most standby replicas a streams group may configure.";
    "group.streams.min.assignment.interval.ms" Int "0", AtLeast(0), ReadOnly Accepted Shown,
        "Smallest assignment interval a streams group may configure.";
    "group.streams.min.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest heartbeat interval a streams group may configure.";
    "group.streams.min.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest session timeout a streams group may configure.";
    "group.streams.num.standby.replicas" Int "0", AtLeast(0), ReadOnly Accepted Shown,
        "Standby replicas of each task of a streams group.";
    "group.streams.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Time without heartbeat after which a member of a streams group is removed.";
    "remote.fetch.max.wait.ms" Int "500", AtLeast(1), ClusterWide Accepted Shown,
        "Longest wait for a read of remote storage.";
    "remote.list.offsets.request.timeout.ms" Long "30000", AtLeast(1), ClusterWide Accepted Shown,
        "Longest wait for an offset looked up in remote storage.";
    "remote.log.index.file.cache.total.size.bytes" Long "1073741824", AtLeast(1), ClusterWide Accepted Shown,
        "Size of the cache of remote indexes.";
    "remote.log.index.file.cache.ttl.ms" Long "900000", AtLeast(-1), ReadOnly Accepted Hidden,
        "Life of an entry of that cache.";
    "remote.log.manager.copier.thread.pool.size" Int "10", AtLeast(1), ClusterWide Accepted Shown,
        "Threads that copy segments to remote storage.";
    "remote.log.manager.copy.max.bytes.per.second" Long "9223372036854775807", AtLeast(1), ClusterWide Accepted Shown,
        "Most bytes copied to remote storage in a second.";
    "remote.log.manager.copy.quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for that limit.";
    "remote.log.manager.copy.quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "remote.log.manager.expiration.thread.pool.size" Int "10", AtLeast(1), ClusterWide Accepted Shown,
        "Threads that delete expired remote segments.";
    "remote.log.manager.fetch.max.bytes.per.second" Long "9223372036854775807", AtLeast(1), ClusterWide Accepted Shown,
        "Most bytes read from remote storage in a second.";
    "remote.log.manager.fetch.quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for that limit.";
    "remote.log.manager.fetch.quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "remote.log.manager.follower.thread.pool.size" Int "2", AtLeast(1), ClusterWide Accepted Shown,
        "Threads of followers for remote storage.";
    "remote.log.manager.task.interval.ms" Long "30000", AtLeast(1), ReadOnly Accepted Shown,
        "How often segments are copied or deleted.";
    "remote.log.manager.task.retry.backoff.max.ms" Long "30000", AtLeast(1), ReadOnly Accepted Hidden,
        "Longest pause before such a task is tried again.";
    "remote.log.manager.task.retry.backoff.ms" Long "500", AtLeast(1), ReadOnly Accepted Hidden,
        "First pause before such a task is tried again.";
    "remote.log.manager.task.retry.jitter" Double "0.2", Share(0.0, 0.5), ReadOnly Accepted Hidden,
        "Random share of that pause.";
    "remote.log.manager.thread.pool.size" Int "2", AtLeast(1), ReadOnly Accepted Shown,
        "Threads for remote storage in all.";
    "remote.log.metadata.custom.metadata.max.bytes" Int "128", AtLeast(0), ReadOnly Accepted Shown,
        "Largest custom metadata of a remote segment.";
    "remote.log.metadata.manager.class.name" String "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", NonEmpty, ReadOnly Accepted Shown,
        "A Java class that keeps the metadata of remote segments.";
    "remote.log.metadata.manager.class.path" String null, Any, ReadOnly Accepted Shown,
        "Where that class is found.";
    "remote.log.metadata.manager.impl.prefix" String "rlmm.config.", NonEmpty, ReadOnly Accepted Shown,
        "Prefix of its own settings.";
    "remote.log.metadata.manager.listener.name" String null, NonEmpty, ReadOnly Accepted Shown,
        "Listener it connects to.";
    "remote.log.reader.max.pending.tasks" Int "100", AtLeast(1), ReadOnly Accepted Shown,
        "Most waiting reads of remote storage.";
    "remote.log.reader.threads" Int "10", AtLeast(1), ClusterWide Accepted Shown,
        "Threads that read remote storage.";
    "remote.log.storage.manager.class.name" String null, NonEmpty, ReadOnly Accepted Shown,
        "A Java class that stores remote segments.";
    "remote.log.storage.manager.class.path" String null, Any, ReadOnly Accepted Shown,
        "Where that class is found.";
    "remote.log.storage.manager.impl.prefix" String "rsm.config.", NonEmpty, ReadOnly Accepted Shown,
        "Prefix of its own settings.";
    "remote.log.storage.system.enable" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether remote storage is used.";
    "sasl.client.callback.handler.class" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that answers SASL questions as a client.";
    "sasl.enabled.mechanisms" List "GSSAPI", Any, PerBroker Accepted Shown,
        "SASL mechanisms that are served.";
    "sasl.jaas.config" Password null, Any, PerBroker Accepted Shown,
        "Login of a listener, in the form of a JAAS file.";
    "sasl.kerberos.kinit.cmd" String "/usr/bin/kinit", Any, PerBroker Accepted Shown,
        "Path of kinit.";
    "sasl.kerberos.min.time.before.relogin" Long "60000", Any, PerBroker Accepted Shown,
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules" List "DEFAULT", Any, PerBroker Accepted Shown,
        "Rules from Kerberos principals to short names.";
    "sasl.kerberos.service.name" String null, Any, PerBroker Accepted Shown,
        "Kerberos principal of the brokers.";
    "sasl.kerberos.ticket.renew.jitter" Double "0.05", Any, PerBroker Accepted Shown,
        "Random share added to a ticket's renewal time.";
    "sasl.kerberos.ticket.renew.window.factor" Double "0.8", Any, PerBroker Accepted Shown,
        "Share of a ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that answers SASL questions at login.";
    "sasl.login.class" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that logs in.";
    "sasl.login.connect.timeout.ms" Int null, Any, ReadOnly Accepted Shown,
        "Time to connect to an external login provider.";
    "sasl.login.read.timeout.ms" Int null, Any, ReadOnly Accepted Shown,
        "Time to read from an external login provider.";
    "sasl.login.refresh.buffer.seconds" Short "300", Any, PerBroker Accepted Shown,
        "Time before a credential's end at which it is renewed at the latest.";
    "sasl.login.refresh.min.period.seconds" Short "60", Any, PerBroker Accepted Shown,
        "Shortest time between two renewals.";
    "sasl.login.refresh.window.factor" Double "0.8", Any, PerBroker Accepted Shown,
        "Share of a credential's life after which it is renewed.";
    "sasl.login.refresh.window.jitter" Double "0.05", Any, PerBroker Accepted Shown,
        "Random share added to that.";
    "sasl.login.retry.backoff.max.ms" Long "10000", Any, ReadOnly Accepted Shown,
        "Longest pause between two tries to log in.";
    "sasl.login.retry.backoff.ms" Long "100", Any, ReadOnly Accepted Shown,
        "First pause between two tries to log in.";
    "sasl.mechanism.controller.protocol" String "GSSAPI", Any, ReadOnly Accepted Shown,
        "SASL mechanism towards controllers.";
    "sasl.mechanism.inter.broker.protocol" String "GSSAPI", Any, PerBroker Accepted Shown,
        "SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm" String "RS256", OneOfAnyCase(&["ES256", "RS256"]), ReadOnly Accepted Shown,
        "Algorithm that signs an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.aud" String null, Any, ReadOnly Accepted Shown,
        "Audience of an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.exp.seconds" Int "300", Between(0, 86_400), ReadOnly Accepted Shown,
        "Life of an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.iss" String null, Any, ReadOnly Accepted Shown,
        "Issuer of an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether an OAuth assertion has an identifier.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds" Int "60", Between(0, 3600), ReadOnly Accepted Shown,
        "Time an OAuth assertion is valid before it is made.";
    "sasl.oauthbearer.assertion.claim.sub" String null, Any, ReadOnly Accepted Shown,
        "Subject of an OAuth assertion.";
    "sasl.oauthbearer.assertion.file" String null, Any, ReadOnly Accepted Shown,
        "File with a ready OAuth assertion.";
    "sasl.oauthbearer.assertion.private.key.file" String null, Any, ReadOnly Accepted Shown,
        "Key that signs an OAuth assertion.";
    "sasl.oauthbearer.assertion.private.key.passphrase" Password null, Any, ReadOnly Accepted Shown,
        "Passphrase of that key.";
    "sasl.oauthbearer.assertion.template.file" String null, Any, ReadOnly Accepted Shown,
        "Template of an OAuth assertion.";
    "sasl.oauthbearer.client.credentials.client.id" String null, Any, ReadOnly Accepted Shown,
        "OAuth client id.";
    "sasl.oauthbearer.client.credentials.client.secret" Password null, Any, ReadOnly Accepted Shown,
        "OAuth client secret.";
    "sasl.oauthbearer.clock.skew.seconds" Int "30", Any, ReadOnly Accepted Shown,
        "Difference of clocks that a token check forgives.";
    "sasl.oauthbearer.expected.audience" List "", Any, ReadOnly Accepted Shown,
        "Audiences a token may have.";
    "sasl.oauthbearer.expected.issuer" String null, Any, ReadOnly Accepted Shown,
        "Issuer a token must have.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long "3600000", Any, ReadOnly Accepted Shown,
        "How often the keys of the token provider are fetched.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long "10000", Any, ReadOnly Accepted Shown,
        "Longest pause between two tries to fetch them.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long "100", Any, ReadOnly Accepted Shown,
        "First pause between two tries to fetch them.";
    "sasl.oauthbearer.jwks.endpoint.url" String null, Any, ReadOnly Accepted Shown,
        "Where the keys of the token provider are.";
    "sasl.oauthbearer.jwt.retriever.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Any, ReadOnly Accepted Shown,
        "A Java class that gets tokens.";
    "sasl.oauthbearer.jwt.validator.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Any, ReadOnly Accepted Shown,
        "A Java class that checks tokens.";
    "sasl.oauthbearer.scope" String null, Any, ReadOnly Accepted Shown,
        "Scope asked for with a token.";
    "sasl.oauthbearer.scope.claim.name" String "scope", Any, ReadOnly Accepted Shown,
        "Claim that holds a token's scope.";
    "sasl.oauthbearer.sub.claim.name" String "sub", Any, ReadOnly Accepted Shown,
        "Claim that holds a token's subject.";
    "sasl.oauthbearer.token.endpoint.url" String null, Any, ReadOnly Accepted Shown,
        "Where tokens are got.";
    "sasl.server.callback.handler.class" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that answers SASL questions as a server.";
    "sasl.server.max.receive.size" Int "524288", Any, ReadOnly Accepted Shown,
        "Largest SASL message before authentication.";
    "security.inter.broker.protocol" String "PLAINTEXT", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly Accepted Shown,
        "Security protocol between brokers, when no listener is named for it.";
    "security.providers" String null, Any, ReadOnly Accepted Shown,
        "Java security providers.";
    "share.coordinator.append.linger.ms" Int "-1", AtLeast(-1), ReadOnly Accepted Shown,
        "Time the share coordinator gathers records before it writes them; -1 adapts.";
    "share.coordinator.cached.buffer.max.bytes" Int "1048588", AtLeast(524_288), ClusterWide Accepted Shown,
        "Largest write buffer the share coordinator keeps.";
    "share.coordinator.cold.partition.snapshot.interval.ms" Int "300000", AtLeast(1), ReadOnly Accepted Hidden,
        "How often idle share partitions get a snapshot.";
    "share.coordinator.load.buffer.size" Int "5242880", AtLeast(1), ReadOnly Accepted Shown,
        "Bytes read at a time when share state is loaded.";
    "share.coordinator.snapshot.update.records.per.snapshot" Int "500", Between(0, 500), ReadOnly Accepted Shown,
        "Updates of share state after which a snapshot is written.";
    "share.coordinator.state.topic.compression.codec" Int "0", Any, ReadOnly Accepted Shown,
        "Codec of the share state topic, by number.";
    "share.coordinator.state.topic.min.isr" Short "2", AtLeast(1), ReadOnly Accepted Shown,
        "In-sync replicas a write to the share state topic needs.";
    "share.coordinator.state.topic.num.partitions" Int "50", AtLeast(1), ReadOnly Accepted Shown,
        "Partitions of the share state topic.";
    "share.coordinator.state.topic.prune.interval.ms" Int "300000", AtLeast(1), ReadOnly Accepted Hidden,
        "How often old share state is deleted.";
    "share.coordinator.state.topic.replication.factor" Short "3", AtLeast(1), ReadOnly Accepted Shown,
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.segment.bytes" Int "104857600", AtLeast(1), ReadOnly Accepted Shown,
        "Segment size of the share state topic.";
    "share.coordinator.threads" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Threads of the share coordinator; here tasks, not threads.";
    "share.coordinator.write.timeout.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Time a write of share state waits to be replicated.";
    "share.fetch.purgatory.purge.interval.requests" Int "1000", Any, ReadOnly Accepted Shown,
        "How often finished waiting share fetches are swept.";
    "ssl.allow.dn.changes" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether a new certificate may have another distinguished name.";
    "ssl.allow.san.changes" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether a new certificate may have other alternative names.";
    "ssl.cipher.suites" List "", Any, PerBroker Accepted Shown,
        "Cipher suites that may be used.";
    "ssl.client.auth" String "none", OneOf(&["required", "requested", "none"]), PerBroker Accepted Shown,
        "Whether clients must, may or need not show a certificate.";
    "ssl.enabled.protocols" List "TLSv1.2,TLSv1.3", Any, PerBroker Accepted Shown,
        "TLS versions that may be used.";
    "ssl.endpoint.identification.algorithm" String "https", Any, PerBroker Accepted Shown,
        "How the name of a server is checked.";
    "ssl.engine.factory.class" Class null, Any, PerBroker Accepted Shown,
        "A Java class that makes TLS engines.";
    "ssl.key.password" Password null, Any, PerBroker Accepted Shown,
        "Password of the private key.";
    "ssl.keymanager.algorithm" String "SunX509", Any, PerBroker Accepted Shown,
        "Algorithm of Java's key manager.";
    "ssl.keystore.certificate.chain" Password null, Any, PerBroker Accepted Shown,
        "Certificate chain as PEM text.";
    "ssl.keystore.key" Password null, Any, PerBroker Accepted Shown,
        "Private key as PEM text.";
    "ssl.keystore.location" String null, Any, PerBroker Accepted Shown,
        "File with key and certificates.";
    "ssl.keystore.password" Password null, Any, PerBroker Accepted Shown,
        "Password of that file.";
    "ssl.keystore.type" String "JKS", Any, PerBroker Accepted Shown,
        "Format of that file.";
    "ssl.principal.mapping.rules" String "DEFAULT", Any, ReadOnly Accepted Shown,
        "Rules from distinguished names to principals.";
    "ssl.protocol" String "TLSv1.3", Any, PerBroker Accepted Shown,
        "TLS version to make a context with.";
    "ssl.provider" String null, Any, PerBroker Accepted Shown,
        "Java provider of TLS.";
    "ssl.secure.random.implementation" String null, Any, PerBroker Accepted Shown,
        "Java's random source for TLS.";
    "ssl.trustmanager.algorithm" String "PKIX", Any, PerBroker Accepted Shown,
        "Algorithm of Java's trust manager.";
    "ssl.truststore.certificates" Password null, Any, PerBroker Accepted Shown,
        "Trusted certificates as PEM text.";
    "ssl.truststore.location" String null, Any, PerBroker Accepted Shown,
        "File with trusted certificates.";
    "ssl.truststore.password" Password null, Any, PerBroker Accepted Shown,
        "Password of that file.";
    "ssl.truststore.type" String "JKS", Any, PerBroker Accepted Shown,
        "Format of that file.";
}
