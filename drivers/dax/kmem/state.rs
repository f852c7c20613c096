// SPDX-License-Identifier: GPL-2.0

//! Parser for the file `state`.

/// Returns the state in `known` whose name was written. A newline may follow the name.
pub(crate) fn parse<'a, S>(
    input: &[u8],
    known: impl IntoIterator<Item = (&'a [u8], S)>,
) -> Option<S> {
    let written = input.strip_suffix(b"\n").unwrap_or(input);

    known
        .into_iter()
        .find(|(name, _)| *name == written)
        .map(|(_, state)| state)
}
