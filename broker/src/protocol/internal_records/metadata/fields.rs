//! What most records are: fields one after the other, in one version, without tagged ones.

/// Defines a structure that is encoded field by field and ends in tagged fields, of which none is known.
macro_rules! structure {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type),*
        }

        impl Compact for $name {
            const MIN_BYTES: usize = 1 $(+ <$type as Compact>::MIN_BYTES)*;

            fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
                let structure = Self { $($field: reader.value()?),* };
                reader.skip_tags()?;
                Ok(structure)
            }

            fn write(&self, writer: &mut Writer) {
                writer$(.value(&self.$field))*.no_tags();
            }
        }
    };
}

/// Defines a record that has version 0 only.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($fields:tt)* }) => {
        structure! { $(#[$doc])* $name { $($fields)* } }

        impl Versioned for $name {
            const MAX_VERSION: i16 = 0;

            fn version_at(&self, _metadata_version: i16) -> i16 {
                0
            }

            fn read_version(reader: &mut Reader<'_>, _version: i16) -> Result<Self, Error> {
                reader.value()
            }

            fn write_version(&self, writer: &mut Writer, _version: i16) {
                writer.value(self);
            }
        }
    };
}
