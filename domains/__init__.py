"""Source folder of the domains: a package only in order to refuse an import that would load every module twice."""

raise ImportError("the domains are imported as 'scidiff.domains.<name>', not as 'domains.<name>'")
