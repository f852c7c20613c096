// SPDX-License-Identifier: GPL-2.0

//! The text of the file `state`.

/// The one of the known states, each with its name, whose name was written, perhaps with a newline.
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
